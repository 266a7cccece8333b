//! What holds for every report.

use super::canvas::text_width;
use super::{FIGURES, Written, sample, sections, words, write};
use crate::study::Report;
use crate::study::report::Effect;
use resvg::tiny_skia::Pixmap;
use resvg::usvg::roxmltree::Document;
use std::collections::HashSet;

fn cases() -> Vec<(&'static str, Report)> {
    let mut cases = vec![("bare", sample::bare()), ("awkward", sample::awkward())];
    cases.extend(
        [("one", 1), ("two", 2), ("four", 4), ("twelve", 12), ("thirty", 30)].map(|(name, n)| (name, sample::full(n))),
    );
    cases
}

fn page(report: &Report) -> String {
    super::page::html(report, &sections::all(report))
}

/// With `REPORT_SAMPLES=FOLDER` the pages stay there to be looked at; `scripts/draw_report.py` makes pictures of them.
#[test]
fn files_are_written_and_are_the_same_each_time() {
    let temporary = tempfile::tempdir().unwrap();
    let root = std::env::var_os("REPORT_SAMPLES").map_or(temporary.path().to_owned(), Into::into);
    let wanted = std::env::var("REPORT_CASES").unwrap_or_else(|_| "bare awkward two four".into());
    for (name, report) in cases().into_iter().filter(|(name, _)| wanted.split(' ').any(|w| w == *name)) {
        let Written { page, numbers, figures } = write(&report, &root.join(name)).unwrap();
        assert!(figures.iter().all(|path| path.starts_with(root.join(name).join(FIGURES))));
        let first = std::fs::read(&page).unwrap();
        write(&report, &root.join(name)).unwrap();
        assert_eq!(first, std::fs::read(&page).unwrap());
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(numbers).unwrap()).unwrap();
        assert_eq!(json["name"], report.name.as_str());
        for path in figures.iter().filter(|path| path.extension().is_some_and(|e| e == "png")) {
            let svg = std::fs::read_to_string(path.with_extension("svg")).unwrap();
            let xml = Document::parse(&svg).unwrap();
            let side = |name| xml.root_element().attribute(name).unwrap().parse::<u32>().unwrap();
            let image = Pixmap::decode_png(&std::fs::read(path).unwrap()).unwrap();
            assert_eq!((image.width(), image.height()), (2 * side("width"), 2 * side("height")));
            let background = image.pixel(0, 0).unwrap();
            assert_eq!(background.alpha(), 255);
            let drawn = image.pixels().iter().filter(|pixel| **pixel != background).count();
            assert!(drawn > image.pixels().len() / 500, "{path:?} is as good as blank");
        }
    }
}

#[test]
fn images_are_sound_and_have_no_styles_left_open() {
    for (name, report) in cases() {
        for figure in sections::all(&report).iter().flat_map(|section| &section.figures) {
            let svg = figure.standalone();
            let document = Document::parse(&svg).unwrap_or_else(|e| panic!("{name} {}: {e}", figure.name));
            assert!(!svg.contains("var(") && !svg.contains("NaN"), "{name} {}", figure.name);
            let [width, height] = [figure.wide.width, figure.wide.height];
            assert!(width >= 700.0 && height > 40.0, "{name} {}", figure.name);
            // All text begins and ends on the paper, as far as its place tells.
            for text in document.descendants().filter(|node| node.has_tag_name("text") && node.attribute("x").is_some())
            {
                let place = |name| text.attribute(name).unwrap().parse::<f64>().unwrap();
                assert!((-0.5..=width + 0.5).contains(&place("x")), "{name} {}: {text:?}", figure.name);
                assert!((-0.5..=height + 0.5).contains(&place("y")), "{name} {}: {text:?}", figure.name);
                let words = text.text().unwrap_or_default();
                if !text.attribute("class").unwrap_or_default().contains("heading") {
                    let long = text_width(words, 12.0);
                    let [before, after] = match text.attribute("text-anchor") {
                        Some("middle") => [long / 2.0; 2],
                        Some("end") => [long, 0.0],
                        _ => [0.0, long],
                    };
                    let room = -12.0..=width + 12.0;
                    let inside = room.contains(&(place("x") - before)) && room.contains(&(place("x") + after));
                    assert!(inside, "{name} {}: {words}", figure.name);
                }
            }
        }
    }
}

#[test]
fn pages_load_nothing_and_have_unique_ids() {
    for (name, report) in cases() {
        let page = page(&report);
        let mut ids = HashSet::new();
        for part in page.split(" id=\"").skip(1) {
            let id = part.split('"').next().unwrap();
            assert!(ids.insert(id), "{name}: id {id} is there twice");
        }
        for part in page.split(" href=\"").skip(1) {
            let target = part.split('"').next().unwrap().strip_prefix('#').expect("links stay on the page");
            assert!(ids.contains(target), "{name}: nothing is at #{target}");
        }
        for part in page.split(" aria-labelledby=\"").skip(1) {
            assert!(part.split('"').next().unwrap().split(' ').all(|id| ids.contains(id)), "{name}");
        }
        let document = as_xml(&page);
        let document = Document::parse(&document).unwrap();
        for node in document.descendants() {
            let name = node.tag_name().name();
            assert!(!["script", "link", "img", "image", "iframe", "object", "base", "use"].contains(&name), "{name}");
            assert!(
                node.attributes()
                    .all(|a| a.name() != "src" && !a.name().starts_with("on") && !a.value().contains("NaN"))
            );
        }
        assert!(!page.contains("url(") && !page.contains("@import"), "{name}");
        let urls = page.matches("http").count();
        let harmless = page.matches("http://www.w3.org/2000/svg").count() + page.matches("http-equiv").count();
        assert_eq!(urls, harmless, "{name}");
    }
}

/// A page with its `meta` elements closed, so that a parser for XML checks all the others.
fn as_xml(page: &str) -> String {
    let mut out = String::new();
    for (index, part) in page.strip_prefix("<!DOCTYPE html>").expect("a doctype").split('<').enumerate() {
        match part.split_once('>') {
            _ if index == 0 => out.push_str(part),
            Some((tag, rest)) if tag.starts_with("meta ") => out.push_str(&format!("<{tag}/>{rest}")),
            _ => out.push_str(&format!("<{part}")),
        }
    }
    out
}

/// Every element that is opened is closed, in the right order.
#[test]
fn elements_are_nested_as_they_should_be() {
    for (name, report) in cases() {
        Document::parse(&as_xml(&page(&report))).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[test]
fn every_figure_has_a_caption_and_its_numbers_as_a_table() {
    for (name, report) in cases() {
        let page = page(&report);
        for figure in page.split("<figure").skip(1) {
            let figure = figure.split("</figure>").next().unwrap();
            for part in [
                "<figcaption>",
                "<title id=",
                "<desc id=",
                "<details>",
                "<table>",
                "<caption>",
                "scope=\"col\"",
                "scope=\"row\"",
            ] {
                assert!(figure.contains(part), "{name}: {part}");
            }
        }
    }
}

#[test]
fn sections_without_data_leave_no_trace() {
    let ids = |report: &Report| sections::all(report).iter().map(|section| section.id).collect::<Vec<_>>();
    assert_eq!(ids(&sample::full(4)), ["helped", "labels", "time", "transfer", "conflict", "advice", "method"]);
    assert_eq!(ids(&sample::bare()), ["helped", "method"]);
    assert_eq!(ids(&sample::full(1)), ["helped", "labels", "time", "advice", "method"]);
    let page = page(&sample::bare());
    for id in ["labels", "time", "transfer", "conflict", "advice"] {
        assert!(!page.contains(&format!("#{id}\"")) && !page.contains(&format!("id=\"{id}\"")), "{id}");
    }
    let mut nothing = sample::bare();
    nothing.tasks.clear();
    nothing.generalization.single.tasks.clear();
    nothing.generalization.joint.clear();
    assert_eq!(ids(&nothing), ["method"]);
}

#[test]
fn every_effect_is_on_the_page() {
    for (name, report) in cases() {
        let page = page(&report);
        let holds = |text: &str| assert!(page.contains(&text.replace('<', "&lt;")), "{name}: {text}");
        let effect = |effect: &Effect| {
            holds(&words::estimate(&effect.difference, words::signed));
            effect.p.into_iter().chain(effect.corrected).for_each(|p| holds(&words::bare_probability(Some(p))));
            effect.percent.into_iter().for_each(|percent| holds(&words::percent(percent)));
        };
        for arm in &report.generalization.joint {
            arm.tasks.values().filter_map(|scores| scores.effect.as_ref()).for_each(effect);
        }
    }
}

#[test]
fn names_stay_text() {
    let page = page(&sample::awkward());
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(!page.contains("<script>") && !page.contains("<img") && !page.contains("<b>:") && !page.contains("<!--"));
}
