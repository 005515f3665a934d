//! Elements of an argument vector, written left to right.

use crate::{Arg, ArgPart};

/// Starts an argument with a literal.
///
/// ```
/// use llem_sdk::{Arg, ArgPart, arg};
/// let element: Arg = arg("--model=").model().into();
/// assert_eq!(element, [ArgPart::Literal("--model=".to_owned()), ArgPart::Model]);
/// ```
pub fn arg(text: impl Into<String>) -> ArgBuilder {
    ArgBuilder(Arg::new()).text(text)
}

/// An argument under construction; becomes an [`Arg`] by `into`.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct ArgBuilder(Arg);

impl ArgBuilder {
    /// Appends exactly this text.
    pub fn text(self, text: impl Into<String>) -> Self {
        let text = text.into();
        if text.is_empty() { self } else { self.part(ArgPart::Literal(text)) }
    }

    /// Appends the model's id or path.
    pub fn model(self) -> Self {
        self.part(ArgPart::Model)
    }

    /// Appends the reserved port.
    pub fn port(self) -> Self {
        self.part(ArgPart::Port)
    }

    /// Appends the reserved address.
    pub fn address(self) -> Self {
        self.part(ArgPart::Address)
    }

    /// Appends the scratch directory's path.
    pub fn scratch(self) -> Self {
        self.part(ArgPart::Scratch)
    }

    /// Appends the path of an artefact.
    pub fn artefact(self, id: &str) -> Self {
        self.part(ArgPart::Artefact(id.to_owned()))
    }

    /// Appends the path of a file of the step.
    pub fn file(self, name: &str) -> Self {
        self.part(ArgPart::File(name.to_owned()))
    }

    /// Appends the indices of the assigned devices.
    pub fn gpu_indices(self) -> Self {
        self.part(ArgPart::GpuIndices)
    }

    fn part(mut self, part: ArgPart) -> Self {
        self.0.push(part);
        self
    }
}

impl From<ArgBuilder> for Arg {
    fn from(builder: ArgBuilder) -> Self {
        builder.0
    }
}
