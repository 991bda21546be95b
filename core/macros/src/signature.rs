//! Reads the signature of a task and refuses what cannot travel, where it stands.

use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{
    Attribute, Error, FnArg, GenericArgument, Ident, Pat, PatType, PathArguments, Result,
    ReturnType, Signature, Type, TypeImplTrait, TypeInfer, TypeReference,
};

use crate::docs;

/// Most arguments of a task: serde's longest tuple.
const MAX_ARGUMENTS: usize = 16;

/// One argument that travels.
pub(crate) struct Argument {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
    /// Its documentation.
    pub(crate) docs: String,
}

/// The return type of a task.
pub(crate) enum Returned {
    /// The output itself.
    Output(Box<Type>),
    /// A `Result`; the output's type is the first in its angle brackets, where there are any.
    Result {
        whole: Box<Type>,
        output: Option<Box<Type>>,
    },
}

/// The signature, understood.
pub(crate) struct Task {
    pub(crate) wants_context: bool,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) returned: Returned,
}

impl Task {
    /// Reads a signature.
    ///
    /// # Errors
    /// Everything that is refused, each at its span.
    pub(crate) fn read(signature: &Signature, fallible: bool) -> Result<Self> {
        let mut refused = Refused(None);
        refuse_qualifiers(signature, &mut refused);
        let mut wants_context = false;
        let mut arguments = Vec::new();
        for (index, input) in signature.inputs.iter().enumerate() {
            match input {
                FnArg::Receiver(receiver) => refused.add(
                    receiver,
                    "a task has no `self`: make it a free function and pass the value as an argument",
                ),
                FnArg::Typed(typed) if is_context(&typed.ty) => {
                    wants_context = true;
                    if index > 0 {
                        refused.add(typed, "the `&TaskContext` comes first");
                    }
                }
                FnArg::Typed(typed) => arguments.extend(argument(typed, &mut refused)),
            }
        }
        if let Some(beyond) = arguments.get(MAX_ARGUMENTS) {
            let message = format!(
                "a task takes {MAX_ARGUMENTS} arguments at most: put some of them into a struct"
            );
            refused.add(&beyond.ty, &message);
        }
        let returned = returned(&signature.output, fallible, &mut refused);
        refused.into_result()?;
        Ok(Self {
            wants_context,
            arguments,
            returned,
        })
    }
}

/// Gathers refusals, so that one compilation shows all.
struct Refused(Option<Error>);

impl Refused {
    fn add(&mut self, what: impl ToTokens, message: &str) {
        let error = Error::new_spanned(what, message);
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            none => *none = Some(error),
        }
    }

    fn into_result(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

fn refuse_qualifiers(signature: &Signature, refused: &mut Refused) {
    if let Some(token) = signature.constness {
        refused.add(token, "a task cannot be `const`");
    }
    if let Some(token) = signature.unsafety {
        refused.add(
            token,
            "a task cannot be `unsafe`: its caller cannot uphold its safety contract",
        );
    }
    if let Some(abi) = &signature.abi {
        refused.add(abi, "a task cannot be `extern`");
    }
    if !signature.generics.params.is_empty() {
        refused.add(
            &signature.generics,
            "a task cannot be generic: it is found by its name in another process, where no type parameter is known",
        );
    }
    if let Some(clause) = &signature.generics.where_clause {
        refused.add(clause, "a task cannot have a `where` clause");
    }
    if let Some(variadic) = &signature.variadic {
        refused.add(variadic, "a task cannot be variadic");
    }
}

/// `&TaskContext`, however it is qualified.
fn is_context(ty: &Type) -> bool {
    let Type::Reference(reference) = ty else {
        return false;
    };
    let Type::Path(path) = &*reference.elem else {
        return false;
    };
    let last = path.path.segments.last();
    reference.mutability.is_none() && last.is_some_and(|segment| segment.ident == "TaskContext")
}

fn argument(typed: &PatType, refused: &mut Refused) -> Option<Argument> {
    for attribute in &typed.attrs {
        refuse_cfg(attribute, refused);
    }
    Owned {
        what: "an argument",
        refused,
    }
    .visit_type(&typed.ty);
    match &*typed.pat {
        Pat::Ident(pattern) if pattern.by_ref.is_none() && pattern.subpat.is_none() => {
            Some(Argument {
                name: pattern.ident.clone(),
                ty: (*typed.ty).clone(),
                docs: docs::text(&typed.attrs),
            })
        }
        pattern => {
            refused.add(
                pattern,
                "an argument of a task is a plain name: take it apart in the body",
            );
            None
        }
    }
}

fn refuse_cfg(attribute: &Attribute, refused: &mut Refused) {
    if attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr") {
        refused.add(
            attribute,
            "an argument of a task cannot depend on `cfg`: put it on the function",
        );
    }
}

fn returned(output: &ReturnType, fallible: bool, refused: &mut Refused) -> Returned {
    let ty = match output {
        ReturnType::Default => syn::parse_quote!(()),
        ReturnType::Type(_, ty) => (**ty).clone(),
    };
    let last = match &ty {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    };
    let is_result = last.is_some_and(|segment| segment.ident == "Result");
    let within = last.and_then(|segment| first_type(&segment.arguments));
    let output = if is_result { within.clone() } else { None };
    let owned = if is_result {
        output.as_ref()
    } else {
        Some(&ty)
    };
    let mut checked = Owned {
        what: "the output",
        refused,
    };
    if let (Some(owned), false) = (owned, fallible && !is_result) {
        checked.visit_type(owned);
    }
    if is_result || fallible {
        Returned::Result {
            whole: Box::new(ty),
            output: output.map(Box::new),
        }
    } else {
        Returned::Output(Box::new(ty))
    }
}

fn first_type(arguments: &PathArguments) -> Option<Type> {
    let PathArguments::AngleBracketed(arguments) = arguments else {
        return None;
    };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty.clone()),
        _ => None,
    })
}

/// Refuses every type that is not an owned type with a name.
struct Owned<'r> {
    what: &'static str,
    refused: &'r mut Refused,
}

impl Visit<'_> for Owned<'_> {
    fn visit_type_reference(&mut self, reference: &TypeReference) {
        let what = self.what;
        let cure = match &*reference.elem {
            Type::Path(path) if path.path.is_ident("str") => "`String`",
            Type::Slice(_) => "`Vec`",
            _ => "the value itself",
        };
        self.refused.add(
            reference,
            &format!("{what} of a task is owned, as it goes to another process: use {cure} instead of a reference"),
        );
    }

    fn visit_type_impl_trait(&mut self, ty: &TypeImplTrait) {
        let what = self.what;
        self.refused.add(
            ty,
            &format!("{what} of a task has a type with a name, as both processes must agree on it: `impl Trait` has none"),
        );
    }

    fn visit_type_infer(&mut self, ty: &TypeInfer) {
        let what = self.what;
        let message = format!("{what} of a task has a type that is written out");
        self.refused.add(ty, &message);
    }

    fn visit_lifetime(&mut self, lifetime: &syn::Lifetime) {
        if lifetime.ident != "static" {
            let what = self.what;
            let message =
                format!("{what} of a task borrows nothing, as it goes to another process");
            self.refused.add(lifetime, &message);
        }
        visit::visit_lifetime(self, lifetime);
    }
}
