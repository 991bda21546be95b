//! Documentation comments as text.

use syn::{Attribute, Expr, ExprLit, Lit, Meta};

/// The text of the documentation comments among some attributes. A comment that a macro makes has no text here.
pub(crate) fn text(attributes: &[Attribute]) -> String {
    let lines: Vec<String> = attributes.iter().filter_map(line).collect();
    lines.join("\n").trim().to_owned()
}

/// Whether this is a documentation comment.
pub(crate) fn is_docs(attribute: &Attribute) -> bool {
    attribute.path().is_ident("doc")
}

/// One comment, without the blank after its mark.
fn line(attribute: &Attribute) -> Option<String> {
    if !is_docs(attribute) {
        return None;
    }
    let Meta::NameValue(pair) = &attribute.meta else {
        return None;
    };
    let Expr::Lit(ExprLit {
        lit: Lit::Str(text),
        ..
    }) = &pair.value
    else {
        return None;
    };
    let text = text.value();
    Some(text.strip_prefix(' ').unwrap_or(&text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_become_lines() {
        let function: syn::ItemFn = syn::parse_quote! {
            /// Adds.
            ///
            ///   more
            #[doc(hidden)]
            #[inline]
            #[doc = concat!("made ", "by a macro")]
            fn add() {}
        };
        assert_eq!(text(&function.attrs), "Adds.\n\n  more");
        assert_eq!(text(&[]), "");
    }
}
