//! SVG to PNG.

use crate::error::{Error, Result};
use resvg::{tiny_skia, usvg};
use std::sync::{Arc, OnceLock};

/// Pixels of an image for a pixel of its figure.
const SCALE: f32 = 2.0;
/// Pixels that an image has at most: 64 million take 256 MB while they are drawn.
const MOST: f32 = 64e6;

/// An image of an SVG, at twice its size; of a huge one, as large as can be.
///
/// Text is drawn with the fonts of `fonts/`, so that images are the same everywhere. Only for characters that they lack the
/// system's fonts are read; where there is none for a character either, it is left out.
pub(super) fn draw(svg: &str) -> Result<Vec<u8>> {
    let fonts = if svg.chars().all(is_bundled) { bundled() } else { with_system() };
    let options = usvg::Options { font_family: "Inter".into(), fontdb: fonts, ..usvg::Options::default() };
    let tree = usvg::Tree::from_str(svg, &options).map_err(|error| failed(&error))?;
    let scale = SCALE.min((MOST / (tree.size().width() * tree.size().height())).sqrt());
    let size = tree.size().to_int_size().scale_by(scale).ok_or_else(|| failed(&"it has no size"))?;
    let mut image = tiny_skia::Pixmap::new(size.width(), size.height()).ok_or_else(|| failed(&"it is too large"))?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(scale, scale), &mut image.as_mut());
    image.encode_png().map_err(|error| failed(&error))
}

fn failed(reason: &dyn std::fmt::Display) -> Error {
    Error::Io { path: "figure".into(), action: "draw", source: std::io::Error::other(reason.to_string()) }
}

/// Whether the bundled fonts have a character: what `scripts/make_font.py` keeps.
fn is_bundled(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{17f}') || "ΔρμσλταβηθςǤǥ–—−‘’“”„…•‹›€™←↑→↓↔≈≠≤≥∞√ȘșȚț".contains(c)
}

fn database() -> usvg::fontdb::Database {
    let mut fonts = usvg::fontdb::Database::new();
    fonts.load_font_data(include_bytes!("fonts/Inter-Regular.ttf").to_vec());
    fonts.load_font_data(include_bytes!("fonts/Inter-SemiBold.ttf").to_vec());
    fonts
}

fn bundled() -> Arc<usvg::fontdb::Database> {
    static FONTS: OnceLock<Arc<usvg::fontdb::Database>> = OnceLock::new();
    FONTS.get_or_init(|| Arc::new(database())).clone()
}

fn with_system() -> Arc<usvg::fontdb::Database> {
    static FONTS: OnceLock<Arc<usvg::fontdb::Database>> = OnceLock::new();
    let all = || {
        let mut fonts = database();
        fonts.load_system_fonts();
        Arc::new(fonts)
    };
    FONTS.get_or_init(all).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_any_script_is_drawn_or_left_out() {
        let svg = |text| {
            format!(
                "<svg xmlns='http://www.w3.org/2000/svg' width='80' height='20'><text x='2' y='15' font-size='14'>{text}</text></svg>"
            )
        };
        let image = |text| tiny_skia::Pixmap::decode_png(&draw(&svg(text)).unwrap()).unwrap();
        let latin = image("Δm −2");
        assert_eq!((latin.width(), latin.height()), (160, 40));
        assert!(latin.pixels().iter().any(|pixel| pixel.alpha() > 200));
        image("情感 🙂");
    }

    #[test]
    fn what_is_no_drawing_is_an_error_and_what_is_huge_is_not() {
        assert!(draw("<svg").is_err());
        let image = draw("<svg xmlns='http://www.w3.org/2000/svg' width='100000' height='1000'/>").unwrap();
        assert!(tiny_skia::Pixmap::decode_png(&image).unwrap().width() < 100_000);
    }
}
