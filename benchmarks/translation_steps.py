"""The guideline's unit Transformer at work, of one side a process: ours or fairseq's.

python -m benchmarks.translation_steps ours_decode|fairseq_decode SENTENCES LENGTH [LAYERS]
python -m benchmarks.translation_steps ours_train|fairseq_train STEPS PAIRS LENGTH [LAYERS [cuda]]
python -m benchmarks.translation_steps matrix_rate cuda

Both sides have the same weights, read the same random tokens and begin and end a target with </s>. Prints as JSON what
decoding found and took, or what each training step took, in CPU-seconds, or on a GPU, in bf16 by autocast, in seconds;
the first warms up. `matrix_rate` is what a GPU reaches in large matrix products of bf16, in FLOP/s.
"""

import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

NUM_UNITS = 1000  # of a dictionary of 1,004 symbols
BEAM = 10
SMOOTHING, DROPOUT = 0.1, 0.3
BETAS, EPS, RATE, CLIP = (0.9, 0.98), 1e-8, 5e-4, 1.0


def our_model(num_layers: int) -> Any:
    """Draw the weights that both sides have: untrained, so hypotheses run to their limits.

    A large scale before the output sets their scores apart; without it, rounding decides between some.
    """
    from s2st.models.unit_transformer import UnitTransformer, UnitTransformerConfig

    torch.manual_seed(0)
    config = UnitTransformerConfig(
        num_layers=num_layers, dropout=DROPOUT, num_units=NUM_UNITS, label_smoothing=SMOOTHING
    )
    model = UnitTransformer(config)
    nn.init.constant_(model.decoder.layers[-1].final_layer_norm.weight, 4.0)
    return model


def fairseq_model(num_layers: int) -> Any:
    """Build fairseq's Transformer as its task does, with those weights."""
    from fairseq.data import Dictionary
    from fairseq.models.transformer import TransformerModel, base_architecture

    dictionary = Dictionary()
    for unit in range(NUM_UNITS):
        dictionary.add_symbol(str(unit))
    layers = {"encoder_layers": num_layers, "decoder_layers": num_layers}
    arguments = Namespace(share_all_embeddings=True, dropout=DROPOUT, **layers)
    base_architecture(arguments)
    task = Namespace(source_dictionary=dictionary, target_dictionary=dictionary)
    model = TransformerModel.build_model(arguments, task)
    weights = our_model(num_layers).state_dict()
    weights["encoder.embed_tokens.weight"] = weights.pop("source_embed_tokens.weight")
    weights["decoder.embed_tokens.weight"] = weights.pop("embed_tokens.weight")
    weights["decoder.output_projection.weight"] = weights["decoder.embed_tokens.weight"]
    missing, unknown = model.load_state_dict(weights, strict=False)
    assert not unknown, unknown
    assert all("version" in name or "embed_positions" in name for name in missing), missing
    return model, task


def sentences(num: int, length: int) -> tuple[Tensor, Tensor]:
    """Draw tokens (num, length), int64, that end with </s>, and their lengths (num,)."""
    torch.manual_seed(1)
    tokens = torch.randint(4, 4 + NUM_UNITS, (num, length))
    tokens[:, -1] = 2
    return tokens, torch.full((num,), length)


def ours_decode(source: Tensor, lengths: Tensor, num_layers: int) -> Callable[[], list[list[list[int]]]]:
    """Our search; what it finds is a list of hypotheses a sentence."""
    from s2st.beam_search import SearchOptions, search
    from s2st.models.transformer import store_by_columns
    from s2st.units import EOS, PAD

    model = our_model(num_layers).eval()
    store_by_columns(model)
    symbols = torch.full_like(lengths, EOS)
    allowed = torch.arange(model.vocabulary.size) != PAD

    def decode() -> list[list[list[int]]]:
        with torch.inference_mode():
            cache = model.start(source, lengths)
        options = SearchOptions(BEAM, n_best=BEAM)
        found = search(model.decode, cache, symbols, symbols, lengths, allowed, options)
        return [[hypothesis.tokens.tolist() for hypothesis in each] for each in found]

    return decode


def fairseq_decode(source: Tensor, lengths: Tensor, num_layers: int) -> Callable[[], list[list[list[int]]]]:
    """What fairseq-generate runs for a batch."""
    from fairseq.sequence_generator import SequenceGenerator

    model, task = fairseq_model(num_layers)
    generator = SequenceGenerator([model], task.target_dictionary, BEAM, max_len_a=1, max_len_b=0)

    def decode() -> list[list[list[int]]]:
        found = generator.generate([model], {"net_input": {"src_tokens": source, "src_lengths": lengths}})
        return [[hypothesis["tokens"][:-1].tolist() for hypothesis in each] for each in found]

    return decode


def ours_train(source: Tensor, lengths: Tensor, num_layers: int, device: str = "cpu") -> Callable[[], object]:
    """Our model as trainers.translation trains it; the target is the source."""
    from trainers.run import LoopConfig
    from trainers.schedule import adamw

    model = our_model(num_layers).to(device)
    source, lengths = source.to(device), lengths.to(device)
    optimizer = adamw(model, LoopConfig(learning_rate=RATE, betas=BETAS, adam_eps=EPS))
    target = torch.cat([torch.full_like(source[:, :1], 2), source], 1)

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            loss, _ = model.loss(model(source, lengths, target), target)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad()

    return step


def fairseq_train(source: Tensor, lengths: Tensor, num_layers: int, device: str = "cpu") -> Callable[[], object]:
    """fairseq's model, criterion and Adam, as its trainer calls them."""
    from fairseq.criterions.label_smoothed_cross_entropy import LabelSmoothedCrossEntropyCriterion
    from fairseq.optim.adam import FairseqAdam, FairseqAdamConfig

    model, task = fairseq_model(num_layers)
    model, source, lengths = model.to(device), source.to(device), lengths.to(device)
    criterion = LabelSmoothedCrossEntropyCriterion(task, sentence_avg=False, label_smoothing=SMOOTHING)
    adam = FairseqAdamConfig(adam_betas=str(BETAS), adam_eps=EPS, lr=[RATE])
    optimizer = FairseqAdam(adam, list(model.parameters()))
    inputs = torch.cat([torch.full_like(source[:, :1], 2), source[:, :-1]], 1)
    sample = {
        "net_input": {"src_tokens": source, "src_lengths": lengths, "prev_output_tokens": inputs},
        "target": source,
        "ntokens": source.numel(),
    }

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            loss, sample_size, _ = criterion(model, sample)
        optimizer.backward(loss)
        optimizer.multiply_grads(1 / sample_size)
        optimizer.clip_grad_norm(CLIP)
        optimizer.step()
        optimizer.zero_grad()

    return step


DECODERS = {side.__name__: side for side in (ours_decode, fairseq_decode)}
TRAINERS = {side.__name__: side for side in (ours_train, fairseq_train)}


def matrix_rate(size: int = 8192, products: int = 20) -> float:
    """Measure how many FLOP a second the GPU reaches in products of large matrices, bf16."""
    matrix = torch.randn(size, size, device="cuda", dtype=torch.bfloat16)
    matrix @ matrix
    start = now("cuda")
    for _ in range(products):
        matrix @ matrix
    return products * 2 * size**3 / (now("cuda") - start)


def now(device: str) -> float:
    """Seconds: of this process's CPU time, or, where a GPU works, of the clock."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def main(side: str, *sizes: str) -> None:
    """Measure a side."""
    if side == matrix_rate.__name__:
        print(json.dumps({"flops": matrix_rate()}))
        return
    device = "cuda" if sizes[-1] == "cuda" else "cpu"
    numbers = [int(size) for size in sizes if size != device]
    if side in DECODERS:
        num, length, *layers = numbers
        decode = DECODERS[side](*sentences(num, length), *(layers or [12]))
        start = now("cpu")
        found = decode()
        print(json.dumps({"seconds": now("cpu") - start, "found": found}))
        return
    steps, num, length, *layers = numbers
    step = TRAINERS[side](*sentences(num, length), (layers or [12])[0], device)
    seconds = []
    for _ in range(steps):
        start = now(device)
        step()
        seconds.append(now(device) - start)
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
