//! Tags of words that mark spans: `B-X` begins one of type X, `I-X` goes on with it, `O` is outside of all; where schemes have them,
//! `E-X` ends one and `S-X` is one by itself (`L-X` and `U-X` in BILOU).

use std::ops::Range;

/// How spans are marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TagScheme {
    /// Every span begins with `B-` (IOB2).
    Bio,
    /// Spans begin with `I-`, and with `B-` only right behind another of their type (Ramshaw and Marcus, 1995).
    Iob1,
    /// With marks of ends, and of single words.
    Bioes,
    /// Classes of words, which mark none.
    Plain,
}

/// A span of words, from the first one up to the one behind it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TaggedSpan<'a> {
    /// Its type; `_` where tags name none.
    pub kind: &'a str,
    pub words: Range<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Begin,
    Inside,
    End,
    Single,
}

/// What a tag says; `None` outside of all spans. Fails with nothing where it is not of that form.
fn read(tag: &str) -> Result<Option<(Mark, &str)>, ()> {
    let (mark, kind) = tag.split_once('-').unwrap_or((tag, "_"));
    let mark = match mark {
        "O" if tag == "O" => return Ok(None),
        "B" => Mark::Begin,
        "I" => Mark::Inside,
        "E" | "L" => Mark::End,
        "S" | "U" => Mark::Single,
        _ => return Err(()),
    };
    if kind.is_empty() { Err(()) } else { Ok(Some((mark, kind))) }
}

/// Whether tags mark spans: all that there are, one of them with a type.
pub fn mark_spans<T: AsRef<str>>(tags: &[T]) -> bool {
    tags.iter().all(|tag| read(tag.as_ref()).is_ok()) && tags.iter().any(|tag| has_type(tag.as_ref()))
}

/// Whether a tag is one of a span's, with its type.
pub(super) fn has_type(tag: &str) -> bool {
    tag.contains('-') && matches!(read(tag), Ok(Some(_)))
}

/// Whether a tag is of the form of those that mark spans.
pub(super) fn is_of_spans(tag: &str) -> bool {
    read(tag).is_ok()
}

/// The spans that the tags of a sentence mark, in order, as conlleval counts them (Tjong Kim Sang and Buchholz, 2000): one also begins
/// where its type begins, whatever the mark.
pub fn spans<'a>(tags: &[&'a str]) -> Vec<TaggedSpan<'a>> {
    let mut found: Vec<TaggedSpan<'a>> = Vec::new();
    let mut open = false;
    for (at, tag) in tags.iter().enumerate() {
        let Ok(Some((mark, kind))) = read(tag) else {
            open = false;
            continue;
        };
        match found.last_mut().filter(|last| open && last.kind == kind && !matches!(mark, Mark::Begin | Mark::Single)) {
            Some(last) => last.words.end = at + 1,
            None => found.push(TaggedSpan { kind, words: at..at + 1 }),
        }
        open = !matches!(mark, Mark::End | Mark::Single);
    }
    found
}

impl TagScheme {
    /// The one that the tags of sentences are of.
    pub fn of<'a>(sentences: impl Iterator<Item = Vec<&'a str>>) -> Self {
        let (mut ends, mut apart, mut inside, mut all, mut typed) = (false, false, false, true, false);
        for tags in sentences {
            let mut before = None;
            for tag in tags {
                let Ok(found) = read(tag) else {
                    all = false;
                    continue;
                };
                typed |= has_type(tag);
                let goes_on = |kind: &str| before == Some(kind);
                match found {
                    Some((Mark::End | Mark::Single, _)) => ends = true,
                    Some((Mark::Begin, kind)) => apart |= !goes_on(kind),
                    Some((Mark::Inside, kind)) => inside |= !goes_on(kind),
                    None => {}
                }
                before = found.map(|(_, kind)| kind);
            }
        }
        match () {
            () if !all || !typed => TagScheme::Plain,
            () if ends => TagScheme::Bioes,
            () if inside && !apart => TagScheme::Iob1,
            () => TagScheme::Bio,
        }
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            TagScheme::Bio => "BIO",
            TagScheme::Iob1 => "IOB1",
            TagScheme::Bioes => "BIOES",
            TagScheme::Plain => "plain",
        }
    }

    /// How many tags of a sentence break it: those that go on with a span that there is not, and in BIOES those that no end follows.
    pub fn broken(self, tags: &[&str]) -> usize {
        if matches!(self, TagScheme::Plain | TagScheme::Iob1) {
            return 0;
        }
        let (mut open, mut count) = (None, 0);
        for tag in tags.iter().copied().chain(["O"]) {
            let found = read(tag).ok().flatten();
            let goes_on = found.is_some_and(|(mark, kind)| matches!(mark, Mark::Inside | Mark::End) && open == Some(kind));
            let unclosed = self == TagScheme::Bioes && open.is_some() && !goes_on;
            let unbegun = !goes_on && found.is_some_and(|(mark, _)| matches!(mark, Mark::Inside | Mark::End));
            count += usize::from(unclosed) + usize::from(unbegun);
            open = found.filter(|(mark, _)| matches!(mark, Mark::Begin | Mark::Inside)).map(|(_, kind)| kind);
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<(String, usize, usize)> {
        let tags: Vec<&str> = text.split(' ').collect();
        spans(&tags).into_iter().map(|span| (span.kind.to_string(), span.words.start, span.words.end - 1)).collect()
    }

    fn known(all: &[(&str, usize, usize)]) -> Vec<(String, usize, usize)> {
        all.iter().map(|(kind, begin, end)| (kind.to_string(), *begin, *end)).collect()
    }

    /// Spans as seqeval 1.2.2 finds them: `seqeval.metrics.sequence_labeling.get_entities(tags.split())`.
    #[test]
    fn spans_are_those_of_conlleval() {
        for (tags, wanted) in [
            ("B-PER I-PER O B-LOC", &[("PER", 0, 1), ("LOC", 3, 3)][..]),
            ("I-PER I-PER O I-LOC I-PER", &[("PER", 0, 1), ("LOC", 3, 3), ("PER", 4, 4)]),
            ("B-PER B-PER I-LOC O", &[("PER", 0, 0), ("PER", 1, 1), ("LOC", 2, 2)]),
            ("S-A B-A I-A E-A E-A I-A O", &[("A", 0, 0), ("A", 1, 3), ("A", 4, 4), ("A", 5, 5)]),
            ("B-A E-B S-B I-B", &[("A", 0, 0), ("B", 1, 1), ("B", 2, 2), ("B", 3, 3)]),
            ("B I O B-x-y I-x-y", &[("_", 0, 1), ("x-y", 3, 4)]),
            ("O O", &[]),
            ("B-A I-A S-A", &[("A", 0, 1), ("A", 2, 2)]),
        ] {
            assert_eq!(of(tags), known(wanted), "{tags}");
        }
        assert_eq!(of("L-A U-A L-A"), known(&[("A", 0, 0), ("A", 1, 1), ("A", 2, 2)]), "BILOU's marks mean what BIOES's do");
        assert_eq!(of("NN VB"), known(&[]));
    }

    #[test]
    fn schemes_are_told_apart() {
        let scheme = |sentences: &[&str]| TagScheme::of(sentences.iter().map(|tags| tags.split(' ').collect()));
        assert_eq!(scheme(&["B-A I-A O", "O B-B"]), TagScheme::Bio);
        assert_eq!(scheme(&["B-A I-A O", "O I-B"]), TagScheme::Bio, "a tag is wrong");
        assert_eq!(scheme(&["I-A I-A B-A O", "O I-B"]), TagScheme::Iob1);
        assert_eq!(scheme(&["B-A E-A O", "O S-B"]), TagScheme::Bioes);
        assert_eq!(scheme(&["B-A I-A L-A", "O U-B"]), TagScheme::Bioes);
        assert_eq!(scheme(&["DET NOUN", "VERB"]), TagScheme::Plain);
        assert_eq!(scheme(&["B I O"]), TagScheme::Plain, "without a type they may be anything");
        assert!(mark_spans(&["O", "B-A", "I-A"]) && !mark_spans(&["O", "B-A", "NN"]) && !mark_spans(&["O"]) && !mark_spans(&["B-"]));
    }

    #[test]
    fn tags_that_break_a_scheme_are_counted() {
        let broken = |scheme: TagScheme, tags: &str| scheme.broken(&tags.split(' ').collect::<Vec<_>>());
        for (scheme, tags, count) in [
            (TagScheme::Bio, "B-A I-A O B-A B-A", 0),
            (TagScheme::Bio, "I-A I-A O I-B I-A", 3),
            (TagScheme::Iob1, "I-A I-A O I-B I-A", 0),
            (TagScheme::Bioes, "B-A I-A E-A S-B O", 0),
            (TagScheme::Bioes, "B-A O E-A I-A", 4),
            (TagScheme::Bioes, "B-A E-B", 2),
            (TagScheme::Plain, "NN VB", 0),
        ] {
            assert_eq!(broken(scheme, tags), count, "{scheme:?} {tags}");
        }
    }
}
