//! Stop texts, found across token borders in a stream.

/// Passes text through until a stop text appears, holding back only what may still become one.
#[derive(Debug, Clone, Default)]
pub(crate) struct StopMatcher {
    stops: Vec<String>,
    /// Whether the stop text itself is passed through.
    include: bool,
    held: String,
    stopped: bool,
}

/// What a piece of text led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Matched {
    /// Text that is certain.
    pub text: String,
    /// The stop text that was found; the text ends before or with it.
    pub stop: Option<String>,
}

impl StopMatcher {
    pub fn new(stops: &[String], include: bool) -> Self {
        Self { stops: stops.iter().filter(|s| !s.is_empty()).cloned().collect(), include, ..Self::default() }
    }

    pub fn push(&mut self, text: &str) -> Matched {
        self.held.push_str(text);
        // The one that is complete first, so that the pieces in which a text arrives do not matter.
        let ends = |s: &String| self.held.find(s.as_str()).map(|at| (at + s.len(), at));
        let found = self.stops.iter().filter_map(|s| ends(s).map(|(end, at)| (end, at, s.clone()))).min();
        if let Some((end, at, stop)) = found {
            self.held.truncate(if self.include { end } else { at });
            self.stopped = true;
            return Matched { text: std::mem::take(&mut self.held), stop: Some(stop) };
        }
        let keep = self.stops.iter().map(|s| overlap(&self.held, s)).max().unwrap_or(0);
        let certain = self.held.len() - keep;
        let rest = self.held.split_off(certain);
        Matched { text: std::mem::replace(&mut self.held, rest), stop: None }
    }

    /// Whether a stop text was found.
    pub fn has_stopped(&self) -> bool {
        self.stopped
    }

    /// The end of the text: what was held back is no stop text after all.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Bytes at the end of `text` that begin `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    let longest = text.len().min(stop.len() - 1);
    (1..=longest).rev().find(|&n| stop.is_char_boundary(n) && text.ends_with(&stop[..n])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(stops: &[&str], pieces: &[&str], expected: &str, stopped: bool) {
        let stops: Vec<String> = stops.iter().map(|s| s.to_string()).collect();
        let mut matcher = StopMatcher::new(&stops, false);
        let (mut out, mut found) = (String::new(), false);
        for piece in pieces {
            let matched = matcher.push(piece);
            out.push_str(&matched.text);
            found = matched.stop.is_some();
            if found {
                break;
            }
        }
        if !found {
            out.push_str(&matcher.finish());
        }
        assert_eq!((out.as_str(), found), (expected, stopped), "{pieces:?}");
    }

    #[test]
    fn stop_texts_are_found_across_borders() {
        check(&["END"], &["one E", "N", "D two"], "one ", true);
        check(&["END"], &["one E", "N", " two"], "one EN two", false);
        check(&["aab"], &["a", "a", "a", "b", "c"], "a", true);
        check(&["long stop", "st"], &["a long s", "top"], "a long ", true);
        check(&["é!"], &["caf", "é", "?"], "café?", false);
        check(&[], &["all", " of it"], "all of it", false);
        check(&[""], &["an empty one never stops"], "an empty one never stops", false);
    }

    #[test]
    fn a_stop_text_is_part_of_the_text_if_asked_for() {
        let mut matcher = StopMatcher::new(&["END".into()], true);
        assert_eq!(matcher.push("one EN").text, "one ");
        assert_eq!(matcher.push("D two"), Matched { text: "END".into(), stop: Some("END".into()) });
        assert!(matcher.has_stopped());
    }

    #[test]
    fn certain_text_is_not_held_back() {
        let mut matcher = StopMatcher::new(&["\n\n".into()], false);
        assert_eq!(matcher.push("hello"), Matched { text: "hello".into(), stop: None });
        assert_eq!(matcher.push("\n"), Matched { text: String::new(), stop: None });
        assert_eq!(matcher.push("x"), Matched { text: "\nx".into(), stop: None });
    }
}
