//! Metrics of tag sequences: entities as seqeval reads them, and accuracy over tags.
//!
//! Follows `get_entities` and `f1_score` of seqeval 1.2.2 in its default mode (that of conlleval, not `mode="strict"`),
//! oddities included: tags are split into a prefix, their first character, and a type, what follows the first dash or
//! the first character where there is none; any change of type within an entity ends it and starts the next; every
//! prefix but `O` and `.` may belong to an entity. So tags without prefixes, such as parts of speech, give an F1 too,
//! but not one that means much: take accuracy for those.

/// One entity of a sequence of tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entity<'a> {
    /// What follows the prefix of its last tag, such as `PER`; `_` where nothing does.
    pub kind: &'a str,
    /// Index of its first tag.
    pub start: usize,
    /// Index one past its last tag.
    pub end: usize,
}

/// The share of tags predicted correctly, in [0, 1]; tags are compared by id. `None` without tags.
///
/// Sequences, and the tags in them, must agree in number, which debug builds assert.
pub fn tag_accuracy(expected: &[Vec<u32>], predicted: &[Vec<u32>]) -> Option<f64> {
    debug_assert!(expected.iter().map(Vec::len).eq(predicted.iter().map(Vec::len)));
    let tags = expected.iter().map(Vec::len).sum::<usize>();
    let pairs = expected.iter().zip(predicted).flat_map(|(e, p)| e.iter().zip(p));
    let hits = pairs.filter(|(e, p)| e == p).count();
    (tags > 0).then(|| hits as f64 / tags as f64)
}

/// Micro F1 over entities, in [0, 1]: an entity is right if its type, its start and its end are.
///
/// `labels` holds the name of each tag id; ids beyond it read as `O`. 0 where nothing is expected nor predicted, as in
/// seqeval. `None` without tags (seqeval: 0). Sequences, and the tags in them, must agree in number, which debug builds
/// assert.
pub fn entity_f1(expected: &[Vec<u32>], predicted: &[Vec<u32>], labels: &[String]) -> Option<f64> {
    debug_assert!(expected.iter().map(Vec::len).eq(predicted.iter().map(Vec::len)));
    if expected.iter().all(Vec::is_empty) {
        return None;
    }
    let expected = entities(joined(expected, labels));
    let predicted = entities(joined(predicted, labels));
    // Entities come in ascending order of their ends and no two share one, so one walk finds all matches.
    let mut hits = 0;
    let mut candidates = predicted.iter().peekable();
    for entity in &expected {
        while candidates.next_if(|candidate| candidate.end < entity.end).is_some() {}
        hits += usize::from(candidates.peek() == Some(&entity));
    }
    match expected.len() + predicted.len() {
        0 => Some(0.0),
        total => Some(2.0 * hits as f64 / total as f64),
    }
}

/// The entities of a sequence of tags, in order of their ends: seqeval's `get_entities`, with `end` one further. An
/// empty tag reads as `O` (seqeval: an error).
///
/// `["B-PER", "I-PER", "O", "I-LOC"]` gives `PER` at 0..2 and `LOC` at 3..4.
pub fn entities<'a>(tags: impl IntoIterator<Item = &'a str>) -> Vec<Entity<'a>> {
    let mut entities = Vec::new();
    let mut previous = Tag::parse("O");
    let mut start = 0;
    for (index, tag) in tags.into_iter().chain(["O"]).enumerate() {
        let tag = Tag::parse(tag);
        if ends(previous, tag) {
            entities.push(Entity { kind: previous.kind, start, end: index });
        }
        if starts(previous, tag) {
            start = index;
        }
        previous = tag;
    }
    entities
}

/// The names of all tags, an `O` after each sequence: entities do not span sequences.
fn joined<'a>(sequences: &'a [Vec<u32>], labels: &'a [String]) -> impl Iterator<Item = &'a str> {
    let name = |&id: &u32| labels.get(id as usize).map_or("O", String::as_str);
    sequences.iter().flat_map(move |sequence| sequence.iter().map(name).chain(["O"]))
}

/// A tag such as `B-PER`, split into `B` and `PER`.
#[derive(Clone, Copy)]
struct Tag<'a> {
    prefix: char,
    kind: &'a str,
}

impl<'a> Tag<'a> {
    fn parse(tag: &'a str) -> Self {
        let mut rest = tag.chars();
        let prefix = rest.next().unwrap_or('O');
        let rest = rest.as_str();
        let kind = rest.split_once('-').map_or(rest, |(_, kind)| kind);
        Tag { prefix, kind: if kind.is_empty() { "_" } else { kind } }
    }
}

/// Whether an entity ends before `tag`.
fn ends(previous: Tag, tag: Tag) -> bool {
    match (previous.prefix, tag.prefix) {
        ('E' | 'S', _) => true,
        ('B' | 'I', 'B' | 'S' | 'O') => true,
        ('O' | '.', _) => false,
        _ => previous.kind != tag.kind,
    }
}

/// Whether an entity starts at `tag`.
fn starts(previous: Tag, tag: Tag) -> bool {
    match (previous.prefix, tag.prefix) {
        (_, 'B' | 'S') => true,
        ('E' | 'S' | 'O', 'E' | 'I') => true,
        (_, 'O' | '.') => false,
        _ => previous.kind != tag.kind,
    }
}
