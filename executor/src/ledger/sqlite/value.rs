//! How values are stored in columns.
//!
//! Times are nanoseconds since 1970 by the wall clock, durations are nanoseconds; numbers of 64 bits without a sign are
//! stored with the same bits. What cannot be read back makes the file a damaged one.

use std::error::Error;
use std::time::{Duration, SystemTime};

use podpool_core::id::TaskId;
use podpool_core::ledger::Word;
use rusqlite::types::{
    FromSql, FromSqlError, FromSqlResult, Null, ToSql, ToSqlOutput, Value, ValueRef,
};

fn wrong(reason: impl Into<Box<dyn Error + Send + Sync>>) -> FromSqlError {
    FromSqlError::Other(reason.into())
}

/// A time of the wall clock. One that is further from 1970 than 292 years is stored as the last one that is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time(pub(super) SystemTime);

impl ToSql for Time {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let nanos = |since: Duration| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
        let stored = match self.0.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => nanos(after),
            Err(before) => -nanos(before.duration()),
        };
        Ok(stored.into())
    }
}

impl FromSql for Time {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let stored = value.as_i64()?;
        let distance = Duration::from_nanos(stored.unsigned_abs());
        let time = match stored {
            0.. => SystemTime::UNIX_EPOCH.checked_add(distance),
            _ => SystemTime::UNIX_EPOCH.checked_sub(distance),
        };
        time.map(Self).ok_or(FromSqlError::OutOfRange(stored))
    }
}

/// A duration. One of more than 292 years, as the one that means "no limit", is 12 bytes: seconds and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

impl ToSql for Span {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        if let Ok(nanos) = i64::try_from(self.0.as_nanos()) {
            return Ok(nanos.into());
        }
        let mut bytes = self.0.as_secs().to_le_bytes().to_vec();
        bytes.extend(self.0.subsec_nanos().to_le_bytes());
        Ok(ToSqlOutput::Owned(Value::Blob(bytes)))
    }
}

impl FromSql for Span {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        if let ValueRef::Blob(bytes) = value {
            let parts = bytes.split_first_chunk::<8>();
            let parts = parts.and_then(|(secs, nanos)| Some((secs, nanos.try_into().ok()?)));
            let (secs, nanos) = parts.ok_or_else(|| wrong("a duration has 12 bytes"))?;
            let nanos = u32::from_le_bytes(nanos);
            if nanos >= 1_000_000_000 {
                return Err(wrong("a duration has less than a second of nanoseconds"));
            }
            return Ok(Self(Duration::new(u64::from_le_bytes(*secs), nanos)));
        }
        let stored = value.as_i64()?;
        let nanos = u64::try_from(stored).map_err(|_| FromSqlError::OutOfRange(stored))?;
        Ok(Self(Duration::from_nanos(nanos)))
    }
}

/// A number of 64 bits without a sign, by its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bits(pub(super) u64);

impl ToSql for Bits {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.cast_signed().into())
    }
}

impl FromSql for Bits {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Ok(Self(value.as_i64()?.cast_unsigned()))
    }
}

/// An enum as its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Worded<T>(pub(super) T);

impl<T: Word> ToSql for Worded<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.word().into())
    }
}

impl<T: Word> FromSql for Worded<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let word = value.as_str()?;
        let known = T::of_word(word).map(Self);
        known.ok_or_else(|| wrong(format!("this version does not know {word:?}")))
    }
}

/// Texts as JSON; nothing where there are none.
#[derive(Debug)]
pub(super) struct Texts<'a>(pub(super) &'a [String]);

impl ToSql for Texts<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        if self.0.is_empty() {
            return Null.to_sql();
        }
        let json = serde_json::to_string(self.0);
        let json = json.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        Ok(json.into())
    }
}

/// Texts that were read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OwnTexts(pub(super) Vec<String>);

impl FromSql for OwnTexts {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        if value == ValueRef::Null {
            return Ok(Self(Vec::new()));
        }
        let texts = serde_json::from_str(value.as_str()?);
        texts.map(Self).map_err(wrong)
    }
}

/// Pairs of texts as JSON; nothing where there are none.
#[derive(Debug)]
pub(super) struct Pairs<'a>(pub(super) &'a [(String, String)]);

impl ToSql for Pairs<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        if self.0.is_empty() {
            return Null.to_sql();
        }
        let json = serde_json::to_string(self.0);
        let json = json.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        Ok(json.into())
    }
}

/// Pairs of texts that were read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OwnPairs(pub(super) Vec<(String, String)>);

impl FromSql for OwnPairs {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        if value == ValueRef::Null {
            return Ok(Self(Vec::new()));
        }
        let pairs = serde_json::from_str(value.as_str()?);
        pairs.map(Self).map_err(wrong)
    }
}

/// The code of a value: its place among all values.
pub(super) fn code<T: PartialEq>(all: &[T], value: &T) -> rusqlite::Result<i64> {
    let place = all.iter().position(|it| it == value);
    let unknown = || "a value has no code".into();
    let place = place.ok_or_else(|| rusqlite::Error::ToSqlConversionFailure(unknown()))?;
    Ok(place as i64)
}

/// The value of a code, in this column.
pub(super) fn of_code<T: Copy>(all: &[T], column: usize, code: i64) -> rusqlite::Result<T> {
    let value = usize::try_from(code).ok().and_then(|place| all.get(place));
    let unknown = rusqlite::Error::IntegralValueOutOfRange(column, code);
    value.copied().ok_or(unknown)
}

/// The number of a task as a row's; none for those beyond what SQLite numbers rows with.
pub(super) fn row(task: TaskId) -> Option<i64> {
    i64::try_from(task.0).ok()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn again<T: ToSql + FromSql>(value: &T) -> FromSqlResult<T> {
        let stored = value.to_sql().unwrap();
        match &stored {
            ToSqlOutput::Owned(value) => T::column_result(value.into()),
            ToSqlOutput::Borrowed(value) => T::column_result(*value),
            _ => unreachable!("no other kind is made"),
        }
    }

    proptest! {
        #[test]
        fn durations_come_back(secs: u64, nanos in 0..1_000_000_000_u32) {
            let span = Span(Duration::new(secs, nanos));
            prop_assert_eq!(again(&span).unwrap(), span);
        }

        #[test]
        fn times_come_back(nanos: i64) {
            let time = Time::column_result(ValueRef::Integer(nanos)).unwrap();
            prop_assert_eq!(again(&time).unwrap(), time);
        }

        #[test]
        fn numbers_come_back(number: u64) {
            prop_assert_eq!(again(&Bits(number)).unwrap(), Bits(number));
        }

        #[test]
        fn other_bytes_are_an_error_or_a_duration(bytes in vec(any::<u8>(), 0..20)) {
            match Span::column_result(ValueRef::Blob(&bytes)) {
                Ok(span) => prop_assert_eq!((bytes.len(), again(&span).unwrap()), (12, span)),
                Err(_) => prop_assert!(bytes.len() != 12 || bytes[11] > 0),
            }
        }
    }

    #[test]
    fn times_beyond_the_stored_ones_are_the_last_of_those() {
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
        let last = Time::column_result(ValueRef::Integer(i64::MAX)).unwrap();
        assert_eq!(again(&Time(far)).unwrap(), last);
    }
}
