//! The committed components keep the contract when they run as components.

use llem_core::backend::{Config, RunOutput};

use crate::{context, registry};

#[test]
fn every_bundled_plugin_describes_plans_and_parses() {
    for (name, _) in registry().list() {
        let plugin = registry().load(&name).unwrap();
        assert_eq!(plugin.describe().unwrap().id, name);
        let releases = plugin.releases().unwrap();
        plugin.version_probes().unwrap();
        for release in &releases {
            let schema = plugin.schema(&release.id).unwrap();
            assert!(!schema.parameters.is_empty(), "{name}");
            for mode in &release.modes {
                let mut context = context(&release.id, "random:tiny");
                context.mode = *mode;
                let plan = plugin.plan(&Config::new(), &context).unwrap();
                assert_eq!(
                    plugin.revise(&Config::new(), &context, &plan, &[]).unwrap(),
                    plan,
                    "{name}"
                );
                plugin.parse(&Config::new(), &context, &RunOutput::default()).unwrap();
            }
        }
    }
}

#[test]
fn the_same_question_has_the_same_answer() {
    let (one, two) = (registry().load("candle").unwrap(), registry().load("candle").unwrap());
    let release = &one.releases().unwrap()[0].id;
    assert_eq!(one.schema(release), two.schema(release));
    let context = context(release, "random:tiny");
    assert_eq!(one.plan(&Config::new(), &context), two.plan(&Config::new(), &context));
}
