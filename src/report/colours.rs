//! The palette: every colour of the page and of the figures, in a light and a dark theme.
//!
//! Blue is for training together and for what helps, orange for what hurts, grey for a task alone and for no evidence. The two
//! hues are those of Okabe and Ito (2008), which people with any kind of colour vision tell apart, adjusted until every text
//! meets WCAG 2.2's AA contrast. Colour is never alone: shapes, signs and words say the same.

use std::fmt::Write;

/// A colour of both themes, and its name as a CSS variable.
pub(super) struct Colour {
    /// Name of the CSS variable, without the dashes.
    pub name: &'static str,
    /// On light paper, `#rrggbb`.
    pub light: &'static str,
    /// On dark paper, `#rrggbb`.
    pub dark: &'static str,
}

const fn colour(name: &'static str, light: &'static str, dark: &'static str) -> Colour {
    Colour { name, light, dark }
}

/// All of them.
pub(super) const PALETTE: [Colour; 24] = [
    colour("paper", "#fbfaf7", "#11151a"),
    colour("card", "#ffffff", "#191f27"),
    colour("ink", "#1b1f24", "#e8ebef"),
    colour("quiet", "#59616b", "#a8b1bc"),
    colour("hairline", "#e2dfd8", "#2d3640"),
    colour("axis", "#868c94", "#75808d"),
    colour("alone", "#626a74", "#a3adb8"),
    colour("together", "#0067a5", "#62b5f5"),
    colour("helped", "#0067a5", "#62b5f5"),
    colour("hurt", "#b04200", "#ff9a57"),
    colour("helped-tint", "#e1eef8", "#15304a"),
    colour("hurt-tint", "#fbe8dc", "#43250f"),
    colour("none-tint", "#edebe6", "#272e37"),
    colour("plus-1", "#e9f2f9", "#1a2b3a"),
    colour("plus-2", "#c8e1f2", "#1d3f59"),
    colour("plus-3", "#9bc9e8", "#21547b"),
    colour("plus-4", "#6fb0da", "#27699b"),
    colour("minus-1", "#fcefe5", "#33261c"),
    colour("minus-2", "#f9d6bc", "#4d301c"),
    colour("minus-3", "#f4b68b", "#6a3d1b"),
    colour("minus-4", "#ec945b", "#884a1b"),
    colour("neutral", "#f4f2ed", "#222932"),
    colour("sure", "#1f6b3a", "#7ccb93"),
    colour("focus", "#7a3fb0", "#c9a2f2"),
];

/// The variables as CSS: light, and dark on screens that are set so. Paper is white in print.
pub(super) fn variables() -> String {
    let block = |theme: fn(&Colour) -> &'static str| {
        PALETTE.iter().fold(String::new(), |mut css, colour| {
            let _ = write!(css, "--{}:{};", colour.name, theme(colour));
            css
        })
    };
    format!(
        ":root{{color-scheme:light dark;{}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{}}}}}\n@media print{{:root{{--paper:#ffffff;color-scheme:light}}}}\n",
        block(|colour| colour.light),
        block(|colour| colour.dark)
    )
}

/// CSS with each `var(--name)` replaced by its light colour, for images that stand alone.
pub(super) fn resolved(css: &str) -> String {
    PALETTE.iter().fold(css.to_owned(), |css, colour| css.replace(&format!("var(--{})", colour.name), colour.light))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(name: &str) -> &'static Colour {
        PALETTE.iter().find(|colour| colour.name == name).expect("a colour of the palette")
    }

    /// Relative luminance, WCAG 2.2.
    fn luminance(hex: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal")) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    fn contrast(a: &str, b: &str) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    fn assert_contrast(front: &str, back: &str, least: f64) {
        let (front_colour, back_colour) = (find(front), find(back));
        for (theme, a, b) in
            [("light", front_colour.light, back_colour.light), ("dark", front_colour.dark, back_colour.dark)]
        {
            let found = contrast(a, b);
            assert!(found >= least, "{front} on {back}, {theme}: {found:.2} is below {least}");
        }
    }

    #[test]
    fn text_and_marks_stand_out_in_both_themes() {
        assert!((contrast("#000000", "#ffffff") - 21.0).abs() < 1e-9);
        for back in ["paper", "card"] {
            for text in ["ink", "quiet", "alone", "together", "helped", "hurt", "sure", "focus"] {
                assert_contrast(text, back, 4.5);
            }
            assert_contrast("axis", back, 3.0);
        }
        for (text, back) in
            [("helped", "helped-tint"), ("hurt", "hurt-tint"), ("quiet", "none-tint"), ("ink", "none-tint")]
        {
            assert_contrast(text, back, 4.5);
        }
        for back in ["plus-1", "plus-2", "plus-3", "plus-4", "minus-1", "minus-2", "minus-3", "minus-4", "neutral"] {
            assert_contrast("ink", back, 4.5);
        }
        for back in ["plus-1", "minus-1", "neutral"] {
            assert_contrast("quiet", back, 4.5);
        }
        // On white paper too.
        for text in ["ink", "quiet", "alone", "together", "hurt", "sure"] {
            assert!(contrast(find(text).light, "#ffffff") >= 4.5);
        }
    }

    #[test]
    fn no_variable_is_left_in_an_image() {
        assert_eq!(resolved("a{fill:var(--ink)}b{fill:var(--plus-1)}"), "a{fill:#1b1f24}b{fill:#e9f2f9}");
        assert!(!resolved(include_str!("figure.css")).contains("var("));
    }
}
