//! `llem init` and `llem schema`: a study to start from, and what a study may contain.

use std::collections::BTreeMap;

use llem_core::study::Init;

use super::{output, output_json};
use crate::{
    cli::{InitArgs, SchemaOf},
    diagnostics::Failure,
    exit::ExitStatus,
    grants::Gate,
    planning::{Backends, broken, choose_release},
};

/// Prints a commented study.
pub(crate) fn init(args: &InitArgs) -> Result<ExitStatus, Failure> {
    let backends = Backends::new(Gate::new(Vec::new()))?;
    let (plugin, descriptor) = backends.open(&args.plugin)?;
    let releases = plugin.releases().map_err(broken)?;
    let release = choose_release(&releases, None)?;
    let schema = plugin.schema(&release).map_err(broken)?;
    let plugin = Some((descriptor.id.as_str(), &schema));
    output(&llem_core::study::init(&Init { name: &args.name, plugin, model: &args.model }))
}

/// Prints a JSON Schema.
pub(crate) fn schema(of: SchemaOf) -> Result<ExitStatus, Failure> {
    match of {
        SchemaOf::Study => of_studies(),
        SchemaOf::Results => output_json(&crate::results::schema()),
        SchemaOf::Events => output_json(&schemars::schema_for!(llem_core::event::Event)),
    }
}

/// That of study files has the parameters of the backends that are there.
fn of_studies() -> Result<ExitStatus, Failure> {
    let backends = Backends::new(Gate::new(Vec::new()))?;
    let mut schemas = BTreeMap::new();
    for name in backends.names() {
        let (plugin, descriptor) = backends.open(&name)?;
        let releases = plugin.releases().map_err(broken)?;
        let release = choose_release(&releases, None)?;
        schemas.insert(descriptor.id, plugin.schema(&release).map_err(broken)?);
    }
    output_json(&llem_core::study::json_schema(&schemas))
}
