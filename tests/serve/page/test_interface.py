"""The page before the interface that is served, whose models answer at once: what the stand-in stands for."""

import re

import pytest
from ray.serve.exceptions import BackPressureError

from serve.routes import create_app
from tests.serve.page.stand_in import Served

expect = pytest.importorskip("playwright.sync_api").expect


@pytest.fixture
def serve():
    """A function that serves an application and gives its address."""
    running = []

    def start(app):
        running.append(Served(app))
        return running[-1].address

    yield start
    for served in running:
        served.stop()


def test_the_interface_answers_the_page(open_page, serve, quick_server, speech):
    server = quick_server(keys=(b"open sesame",))
    page = open_page(address=serve(create_app(server)))
    page.get_by_label("API key").fill("open sesame")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("combobox", name="From")).to_have_text("EnglishHindi")
    page.set_input_files("#file", speech)
    page.get_by_role("button", name="Translate").click()
    expect(page.get_by_role("status")).to_have_text("Translated.")
    expect(page.locator("#translation summary")).to_have_text("2 units")
    expect(page.locator("#timings")).to_contain_text("vocoder")
    server.graph.error = BackPressureError(num_queued_requests=1, max_queued_requests=1)
    page.get_by_role("button", name="Translate").click()
    expect(page.get_by_role("alert")).to_have_text("The server is busy. Try again in 2 seconds.")


def test_the_interface_hears_the_page(open_page, serve, quick_server):
    page = open_page(address=serve(create_app(quick_server(keys=(b"open-sesame",)))))
    page.get_by_label("API key").fill("open-sesame")
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("switch", name="Live").check()
    page.get_by_role("button", name="Start talking").click()
    expect(page.get_by_role("status")).to_contain_text("Listening")
    page.wait_for_timeout(500)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("status")).to_have_text(re.compile(r"^\d+ sentences?\.$"))
