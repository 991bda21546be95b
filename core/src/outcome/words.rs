//! How much of a failure's texts is kept: they may be of any length, and are sent, stored and printed.

use std::fmt::{self, Display, Write};

use super::Failure;

/// Most bytes of a failure's message.
// 24 + 16 + 24 KiB: a failure takes 64 KiB at most, so that one fits the message of any queue (`put_failed`).
pub(crate) const MESSAGE: usize = 24 << 10;
/// Most bytes of its causes together.
const CHAIN: usize = 16 << 10;
/// Most bytes of the printed lines together: those that a worker keeps fit.
const LINES: usize = 24 << 10;
/// Most causes, and most lines.
pub(crate) const LINKS: usize = 64;

/// What stands at the end of a text that was cut, around the number of its bytes.
const NOTE: (&str, &str) = ("… (cut: ", " bytes in all)");
/// Room for a note with the longest number.
const NOTE_ROOM: usize = 48;

/// Cuts `text` to `most` bytes, at least 64, with a note at its end. A text that was cut before keeps its first size.
pub fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        let size = first_size(text).unwrap_or(text.len());
        cut_of(text, most, size);
    }
}

/// Cuts a text, of which `size` bytes there were.
fn cut_of(text: &mut String, most: usize, size: usize) {
    // The note is not cut: its room is taken off first, even where `most` is less than a note.
    text.truncate(text.floor_char_boundary(most.max(NOTE_ROOM) - NOTE_ROOM));
    let (before, after) = NOTE;
    text.push_str(&format!("{before}{size}{after}"));
    text.shrink_to_fit();
}

/// The size that a text had before it was cut.
fn first_size(text: &str) -> Option<usize> {
    let (_, size) = text.strip_suffix(NOTE.1)?.rsplit_once(NOTE.0)?;
    size.parse().ok()
}

/// Cuts texts so that they take `most` bytes together and are not more than 64. Each has an equal share, for the last
/// cause is worth as much as the first.
pub fn cut_all(texts: &mut Vec<String>, most: usize) {
    if texts.iter().map(String::len).sum::<usize>() <= most && texts.len() <= LINKS {
        return;
    }
    texts.truncate(LINKS);
    let share = most / texts.len().max(1);
    texts.iter_mut().for_each(|text| cut(text, share));
}

/// What `value` displays, cut to `most` bytes: no more than that is ever held.
pub(crate) fn displayed(value: &(impl Display + ?Sized), most: usize) -> String {
    let mut head = Head {
        text: String::new(),
        size: 0,
        most,
    };
    if write!(head, "{value}").is_err() {
        head.text.push_str(" (its Display refuses)");
    }
    let Head { mut text, size, .. } = head;
    if size > most {
        cut_of(&mut text, most, size);
    }
    text
}

/// Takes the beginning of what is written, and counts the rest.
struct Head {
    text: String,
    size: usize,
    most: usize,
}

impl Write for Head {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        // What follows a piece that was cut is left out, however short it is.
        if self.size <= self.most {
            let room = self.most - self.size;
            self.text
                .push_str(&piece[..piece.floor_char_boundary(room)]);
        }
        self.size = self.size.saturating_add(piece.len());
        Ok(())
    }
}

impl Failure {
    /// Cuts the texts of the failure to 64 KiB in all: message, causes and printed lines. Each text that is cut states
    /// how long it was.
    #[must_use]
    pub fn cut(mut self) -> Self {
        cut(&mut self.message, MESSAGE);
        cut_all(&mut self.chain, CHAIN);
        cut_all(&mut self.output, LINES);
        self
    }

    /// Whether [`cut`](Self::cut) would change it.
    pub(crate) fn is_long(&self) -> bool {
        let bytes = |texts: &[String]| texts.iter().map(String::len).sum::<usize>();
        self.message.len() > MESSAGE
            || bytes(&self.chain) > CHAIN
            || bytes(&self.output) > LINES
            || self.chain.len().max(self.output.len()) > LINKS
    }
}

#[cfg(test)]
mod tests;
