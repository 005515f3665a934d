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
///
/// ```
/// # use llem_sdk::prelude::*;
/// # use llem_sdk::testing::shown;
/// let element: Arg = arg("--port=").port().into();
/// assert_eq!(shown(&element), "--port={port}");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct ArgBuilder(Arg);

impl ArgBuilder {
    /// Appends exactly this text.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # use llem_sdk::testing::shown;
    /// assert_eq!(shown(&arg("--a=").text("b").into()), "--a=b");
    /// ```
    pub fn text(self, text: impl Into<String>) -> Self {
        let text = text.into();
        if text.is_empty() { self } else { self.part(ArgPart::Literal(text)) }
    }

    /// Appends the model's id or path.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # use llem_sdk::testing::shown;
    /// assert_eq!(shown(&arg("--model=").model().into()), "--model={model}");
    /// ```
    pub fn model(self) -> Self {
        self.part(ArgPart::Model)
    }

    /// Appends the reserved port.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # use llem_sdk::testing::shown;
    /// assert_eq!(shown(&arg("").port().into()), "{port}");
    /// ```
    pub fn port(self) -> Self {
        self.part(ArgPart::Port)
    }

    /// Appends the reserved address.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # use llem_sdk::testing::shown;
    /// assert_eq!(shown(&arg("--bind=").address().text(":").port().into()), "--bind={address}:{port}");
    /// ```
    pub fn address(self) -> Self {
        self.part(ArgPart::Address)
    }

    /// Appends the scratch directory's path.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # use llem_sdk::testing::shown;
    /// assert_eq!(shown(&arg("--cache=").scratch().text("/kv").into()), "--cache={scratch}/kv");
    /// ```
    pub fn scratch(self) -> Self {
        self.part(ArgPart::Scratch)
    }

    /// Appends the path of an artefact.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # use llem_sdk::testing::shown;
    /// assert_eq!(shown(&arg("--engine=").artefact("engine").into()), "--engine={artefact engine}");
    /// ```
    pub fn artefact(self, id: &str) -> Self {
        self.part(ArgPart::Artefact(id.to_owned()))
    }

    /// Appends the path of a file of the step.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # use llem_sdk::testing::shown;
    /// assert_eq!(shown(&arg("--config=").file("a.yaml").into()), "--config={file a.yaml}");
    /// ```
    pub fn file(self, name: &str) -> Self {
        self.part(ArgPart::File(name.to_owned()))
    }

    /// Appends the indices of the assigned devices.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # use llem_sdk::testing::shown;
    /// assert_eq!(shown(&arg("--gpus=").gpu_indices().into()), "--gpus={gpus}");
    /// ```
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
