"""Steps with names: what fails is told by its name, and the next one goes on."""

import contextlib
import os
import time
import traceback

failures = []
figures = []


@contextlib.contextmanager
def step(name, page=None, provoking=()):
    """Does what is in it; afterwards the browser must have had nothing to complain about but what was provoked."""
    began = time.monotonic()
    try:
        yield
        told = page.complaints(provoking) if page else []
    except Exception as error:  # noqa: BLE001: whatever it is, it is this step that failed
        told = ["".join(traceback.format_exception_only(error)).strip(), *(f"  {line.strip()}" for line in traceback.format_tb(error.__traceback__)[-2:])]
        if page:
            told += recovered(page, name)
    if told:
        failures.append(name)
        print(f"FAILED {name}: " + "\n    ".join(told), flush=True)
    else:
        print(f"ok     {name} ({time.monotonic() - began:.1f} s)", flush=True)


def recovered(page, name):
    """Leaves what the step was in the middle of; gives what the browser said."""
    try:
        if directory := os.environ.get("LICTOR_PAGE_PICTURES"):
            page.driver.save_screenshot(os.path.join(directory, "".join(c if c.isalnum() else "-" for c in name) + ".png"))
        said = page.complaints()
        # What is typed and not saved is given up.
        page.driver.get("about:blank")
        page.open()
        return said
    except Exception as error:  # noqa: BLE001: the browser itself is gone
        return [f"and then: {error}"]


def figure(name, value):
    """Something that was measured, printed at the end."""
    figures.append((name, value))


def verdict():
    """What was measured and what failed; the exit status."""
    for name, value in figures:
        print(f"figure {name}: {value}")
    print(f"{len(failures)} failed: {'; '.join(failures)}" if failures else "all is well")
    return 1 if failures else 0
