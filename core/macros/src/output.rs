//! The `output` of a task: a path with the names of parameters in braces.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::{Error, Ident, LitStr, Pat, Result};

/// A path with parameters, read but not compared with those of the function.
pub(crate) struct OutputPath {
    literal: LitStr,
    pieces: Vec<Piece>,
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    /// Text, in which braces are doubled.
    Text(String),
    /// A parameter, and its format with the colon, or nothing.
    Parameter { name: String, format: String },
}

impl OutputPath {
    /// Reads the text.
    ///
    /// # Errors
    /// An empty text, and braces that hold no name.
    pub(crate) fn of(literal: LitStr) -> Result<Self> {
        let pieces = pieces(&literal.value()).map_err(|why| Error::new(literal.span(), why))?;
        Ok(Self { literal, pieces })
    }

    pub(crate) fn span(&self) -> Span {
        self.literal.span()
    }

    /// Whether a parameter is part of the path.
    pub(crate) fn names(&self, parameter: &Pat) -> bool {
        let Pat::Ident(parameter) = parameter else {
            return false;
        };
        let parameter = parameter.ident.unraw().to_string();
        let is_it =
            |piece: &Piece| matches!(piece, Piece::Parameter { name, .. } if *name == parameter);
        self.pieces.iter().any(is_it)
    }

    /// The path as a `String`. `parameters` are the names of the function's parameters and the values that stand for
    /// them; `private` is where podpool's own items are.
    ///
    /// # Errors
    /// A name that no parameter has.
    pub(crate) fn render(
        &self,
        parameters: &[(String, Ident)],
        private: &TokenStream,
    ) -> Result<TokenStream> {
        let (mut text, mut values) = (String::new(), Vec::new());
        for piece in &self.pieces {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Parameter { name, format } => {
                    let value = parameters.iter().find(|(its, _)| its == name);
                    let (_, value) = value.ok_or_else(|| self.unknown(name, parameters))?;
                    // By position: a raw identifier cannot be named in a format.
                    text.push_str(&format!("{{{}{format}}}", values.len()));
                    // The place of the text, where the compiler reports a value that cannot be displayed.
                    values.push(lent(value, self.span()));
                }
            }
        }
        let text = LitStr::new(&text, self.span());
        Ok(quote!(#private::format(#private::format_args!(#text, #(#values),*))))
    }

    fn unknown(&self, name: &str, parameters: &[(String, Ident)]) -> Error {
        let names: Vec<_> = parameters.iter().map(|(name, _)| name.as_str()).collect();
        let known = if names.is_empty() {
            "it has none".to_owned()
        } else {
            format!("it has {}", names.join(", "))
        };
        let message = format!("the task has no parameter `{name}` for its `output`; {known}");
        Error::new(self.span(), message)
    }
}

/// A reference to a value of the erased body, which the compiler reports at `place`.
pub(crate) fn lent(value: &Ident, place: Span) -> TokenStream {
    let span = value.span().located_at(place);
    let mut value = value.clone();
    value.set_span(span);
    quote_spanned!(span=> &#value)
}

/// Takes a text apart.
fn pieces(text: &str) -> std::result::Result<Vec<Piece>, String> {
    const ALONE: &str =
        "a brace stands alone in the `output`: double it where it is part of the path";
    if text.is_empty() || text.contains(char::is_control) {
        return Err(
            "the `output` of a task is a path, without control characters, such as \"out/{day}.csv\"".to_owned(),
        );
    }
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        let (brace, after) = from.split_at(1);
        if let Some(after) = after.strip_prefix(brace) {
            pieces.push(Piece::Text(format!("{before}{brace}{brace}")));
            rest = after;
            continue;
        }
        if brace == "}" {
            return Err(ALONE.to_owned());
        }
        let (inner, after) = after.split_once('}').ok_or(ALONE)?;
        pieces.push(Piece::Text(before.to_owned()));
        pieces.push(parameter(inner)?);
        rest = after;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    Ok(pieces)
}

/// What stands between two braces.
fn parameter(inner: &str) -> std::result::Result<Piece, String> {
    let (name, format) = inner.split_at(inner.find(':').unwrap_or(inner.len()));
    let name = name.trim();
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!(
            "`{{{inner}}}` in the `output` names no parameter: write its name in the braces, such as `{{day}}`"
        ));
    }
    if format.contains(['$', '*']) {
        return Err(format!(
            "`{{{inner}}}` in the `output` takes a width or a precision from an argument: write the number"
        ));
    }
    Ok(Piece::Parameter {
        name: name.to_owned(),
        format: format.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }

    #[test]
    fn a_path_is_taken_apart() {
        let parameter = |name: &str, format: &str| Piece::Parameter {
            name: name.to_owned(),
            format: format.to_owned(),
        };
        let expected = vec![
            text("a{{"),
            text("/"),
            parameter("day", ""),
            text("-"),
            parameter("n", ":>02"),
            text("}}"),
            text(".csv"),
        ];
        assert_eq!(pieces("a{{/{day}-{ n:>02}}}.csv"), Ok(expected));
        assert_eq!(pieces("a"), Ok(vec![text("a")]));
    }

    #[test]
    fn what_names_no_parameter_is_refused() {
        for (bad, expected) in [
            ("", "without control characters"),
            ("a\n", "without control characters"),
            ("{}", "names no parameter"),
            ("{0}", "names no parameter"),
            ("{:>2}", "names no parameter"),
            ("{day:>width$}", "write the number"),
            ("{day:.*}", "write the number"),
            ("{day", "alone"),
            ("day}", "alone"),
        ] {
            let why = pieces(bad).unwrap_err();
            assert!(why.contains(expected), "{bad}: {why}");
        }
    }
}
