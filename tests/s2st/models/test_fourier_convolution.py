import pytest
import torch
import torch.nn.functional as F

from s2st.models.fourier_convolution import FourierConvolution


@pytest.mark.parametrize("dilation", [1, 3, 5, 100])
@pytest.mark.parametrize("kernel", [1, 3, 7, 11])
@pytest.mark.parametrize("length", [1, 40, 3001])
def test_is_the_convolution(length, kernel, dilation):
    torch.manual_seed(0)
    weight, bias = torch.randn(6, 4, kernel), torch.randn(6)
    x = torch.randn(2, 4, length)
    expected = F.conv1d(x, weight, bias, padding=(kernel - 1) * dilation // 2, dilation=dilation)
    made = FourierConvolution(weight, bias, dilation)(x.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=0)


def test_rounds_at_most_twice_as_much_as_the_convolution():
    torch.manual_seed(0)
    weight, x = torch.randn(64, 64, 11).double() / 27, torch.randn(1, 64, 500).double()
    exact = F.conv1d(x, weight, padding=5)
    made = FourierConvolution(weight.float(), torch.zeros(64), 1)(x.float().transpose(1, 2)).transpose(1, 2)
    direct = F.conv1d(x.float(), weight.float(), padding=5)
    assert (made - exact).square().mean() < 4 * (direct - exact).square().mean() + 1e-12
