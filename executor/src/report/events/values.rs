//! The values of an event or span, copied.

use std::error::Error;
use std::fmt::{self, Write as _};

use tracing::Metadata;
use tracing::field::{self, DebugValue, Field, FieldSet, Value, Visit};

/// Bytes of one text that are kept.
// As long as a line of a task may be by default (`output_line_bytes`).
const TEXT: usize = 16 << 10;

/// One value for each field, where it was given.
#[derive(Debug)]
pub(crate) struct Values {
    values: Vec<Option<Owned>>,
    texts: usize,
}

#[derive(Debug)]
enum Owned {
    Bool(bool),
    I64(i64),
    U64(u64),
    I128(i128),
    U128(u128),
    F64(f64),
    Text(String),
    /// A value that was given by its `Debug` or `Display`.
    Formatted(DebugValue<Formatted>),
    Error(Box<dyn Error + Send + 'static>),
}

/// A text that was formatted before.
struct Formatted(String);

/// An error with its causes, as texts.
struct CopiedError {
    shown: String,
    debugged: String,
    source: Option<Box<Self>>,
}

impl Values {
    /// Copies what `record` visits, of these fields.
    pub(super) fn copy(fields: &FieldSet, record: impl FnOnce(&mut dyn Visit)) -> Self {
        let mut values = Self {
            values: (0..fields.len()).map(|_| None).collect(),
            texts: 0,
        };
        record(&mut values);
        values
    }

    /// Bytes of memory that they take.
    pub(super) fn bytes(&self) -> usize {
        self.texts + self.values.len() * size_of::<Option<Owned>>()
    }

    /// One reference for each field, in the form of a value set.
    pub(super) fn all(&self) -> Vec<Option<&dyn Value>> {
        let values = self.values.iter();
        values
            .map(|value| value.as_ref().map(Owned::value))
            .collect()
    }

    /// The message of an event.
    pub(super) fn message(&self, metadata: &Metadata<'_>) -> Option<String> {
        let field = metadata.fields().field("message")?;
        match self.values.get(field.index())?.as_ref()? {
            Owned::Text(text) => Some(text.clone()),
            Owned::Formatted(text) => Some(format!("{text:?}")),
            _ => None,
        }
    }

    fn text(&mut self, text: fmt::Arguments<'_>) -> String {
        let text = bounded(text);
        self.texts += text.capacity();
        text
    }

    fn set(&mut self, field: &Field, value: Owned) {
        // There is a place for each field of the callsite; `record` may give a field again, and the newest value
        // counts.
        if let Some(place) = self.values.get_mut(field.index()) {
            *place = Some(value);
        }
    }
}

impl Owned {
    fn value(&self) -> &dyn Value {
        match self {
            Self::Bool(value) => value,
            Self::I64(value) => value,
            Self::U64(value) => value,
            Self::I128(value) => value,
            Self::U128(value) => value,
            Self::F64(value) => value,
            Self::Text(value) => value,
            Self::Formatted(value) => value,
            Self::Error(value) => value,
        }
    }
}

impl Visit for Values {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, Owned::Bool(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, Owned::I64(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, Owned::U64(value));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.set(field, Owned::I128(value));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.set(field, Owned::U128(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, Owned::F64(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let text = self.text(format_args!("{value}"));
        self.set(field, Owned::Text(text));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let copied = CopiedError::new(value, 0);
        self.texts += copied.bytes();
        self.set(field, Owned::Error(Box::new(copied)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = Formatted(self.text(format_args!("{value:?}")));
        self.set(field, Owned::Formatted(field::debug(text)));
    }
}

/// A text, cut where it is very long.
fn bounded(text: fmt::Arguments<'_>) -> String {
    // The error of `write_str` stops the formatting at the limit: a `Debug` of a gigabyte is not made whole and cut
    // then.
    let mut bounded = Bounded(String::new());
    if bounded.write_fmt(text).is_err() {
        bounded.0.push_str(" ... (cut)");
    }
    bounded.0
}

struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = TEXT - self.0.len().min(TEXT);
        let end = text.floor_char_boundary(room);
        self.0.push_str(&text[..end]);
        if end < text.len() {
            return Err(fmt::Error);
        }
        Ok(())
    }
}

impl fmt::Debug for Formatted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl CopiedError {
    /// Causes past this many are left out: a chain may be a circle.
    const CAUSES: usize = 16;

    fn new(error: &(dyn Error + 'static), depth: usize) -> Self {
        let source = error.source().filter(|_| depth < Self::CAUSES);
        Self {
            shown: bounded(format_args!("{error}")),
            debugged: bounded(format_args!("{error:?}")),
            source: source.map(|source| Box::new(Self::new(source, depth + 1))),
        }
    }
}

impl CopiedError {
    fn bytes(&self) -> usize {
        let source = self.source.as_ref().map_or(0, |source| source.bytes());
        size_of::<Self>() + self.shown.capacity() + self.debugged.capacity() + source
    }
}

impl fmt::Debug for CopiedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.debugged)
    }
}

impl fmt::Display for CopiedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Error for CopiedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
