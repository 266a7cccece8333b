#!/usr/bin/env python3
"""Pictures of a study's report.html: phone and desktop, light and dark, and in print.

    pip install playwright
    python scripts/draw_report.py FOLDER/report.html [OUT] [--chromium /usr/bin/chromium] [--only desktop-light,...] [--first]

Writes OUT/{desktop,phone}-{light,dark}.png and OUT/print.pdf; `--first` takes the first screen only. Says what the browser complained
about, which requests left the page, and where the page is wider than the screen, and then ends with 1.
"""

import argparse
import pathlib
import sys

from playwright.sync_api import sync_playwright

SIZES = {"desktop": (1280, 900, 1), "phone": (390, 844, 2), "small": (360, 740, 2)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("page", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path, nargs="?")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--only", default="desktop-light,desktop-dark,phone-light,phone-dark,print")
    parser.add_argument("--first", action="store_true")
    options = parser.parse_args()
    out = options.out or options.page.parent / "pictures"
    out.mkdir(parents=True, exist_ok=True)
    wanted = options.only.split(",")
    complaints = []
    with sync_playwright() as playwright:
        flags = ["--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
        browser = playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox", *flags])
        for size, (width, height, scale) in SIZES.items():
            for theme in ("light", "dark"):
                name = f"{size}-{theme}"
                if name not in wanted:
                    continue
                context = browser.new_context(
                    viewport={"width": width, "height": height}, device_scale_factor=scale, color_scheme=theme
                )
                page = context.new_page()
                watch(page, name, complaints)
                page.goto(options.page.resolve().as_uri())
                wide = page.evaluate("document.documentElement.scrollWidth")
                if wide > width:
                    complaints.append(f"{name}: the page is {wide} pixels wide on a screen of {width}")
                page.screenshot(path=out / f"{name}.png", full_page=not options.first)
                context.close()
        if "print" in wanted:
            page = browser.new_page()
            watch(page, "print", complaints)
            page.goto(options.page.resolve().as_uri())
            page.pdf(path=out / "print.pdf", format="A4", print_background=True, prefer_css_page_size=True)
        browser.close()
    print(*complaints, sep="\n")
    return 1 if complaints else 0


def watch(page, name, complaints):
    page.on("console", lambda message: complaints.append(f"{name}: {message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(f"{name}: {error}"))
    page.on(
        "request", lambda request: request.url.startswith("file:") or complaints.append(f"{name}: loads {request.url}")
    )


if __name__ == "__main__":
    sys.exit(main())
