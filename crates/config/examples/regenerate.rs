//! Writes what is generated from types and data: `schemas/`, and of `docs/reference` `files.md`,
//! `rules.md` and `catalogue.md`.

use std::error::Error;
use std::fs;
use std::path::Path;

#[expect(clippy::disallowed_methods, reason = "a program for developers, which writes files")]
fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::create_dir_all(root.join("schemas"))?;
    for (file, schema) in refit_config::schemas() {
        let text = serde_json::to_string_pretty(&schema)? + "\n";
        fs::write(root.join("schemas").join(file), text)?;
    }
    fs::create_dir_all(root.join("docs/reference"))?;
    fs::write(root.join("docs/reference/files.md"), refit_config::reference())?;
    fs::write(root.join("docs/reference/rules.md"), refit_config::rules())?;
    fs::write(root.join("docs/reference/catalogue.md"), refit_catalogue::page())?;
    Ok(())
}
