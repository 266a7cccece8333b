//! Codes of languages.

/// What stands for too many languages to name.
pub(crate) const MULTILINGUAL: &str = "multilingual";

/// The codes of ISO 639-1, in order.
const TWO_LETTERS: &str = "\
    aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo es et \
    eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk \
    kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny \
    oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk \
    tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu";

/// Whether a code is one of ISO 639-1, has the form of one of ISO 639-3 (which has thousands), or is `multilingual`.
pub(crate) fn is_language(code: &str) -> bool {
    let letters = code.bytes().all(|byte| byte.is_ascii_lowercase());
    match code.len() {
        2 => TWO_LETTERS.split(' ').any(|known| known == code),
        3 => letters,
        _ => code == MULTILINGUAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_known() {
        assert_eq!(TWO_LETTERS.split(' ').count(), 183);
        assert!(TWO_LETTERS.split(' ').is_sorted());
        assert!(["en", "zh", "yue", "multilingual"].map(is_language).iter().all(|&known| known));
        assert!(["", "xx", "EN", "english", "e1g", "en-US"].map(is_language).iter().all(|&known| !known));
    }
}
