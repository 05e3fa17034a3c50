//! `tidings vapid`.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tidings_core::application::ApplicationId;
use tidings_core::sealing::Sealer;
use tidings_core::vapid_key::VapidKeyState;
use tidings_webpush::VapidKey;

use crate::api_client::ApiClient;
use crate::cli::{ServerArgs, VapidCommand};
use crate::data_directory::{DataDirectory, write_new};
use crate::output;
use crate::settings::{DirectoryArgs, DirectorySettings, read_vapid_key};

pub(super) fn run(command: VapidCommand) -> Result<()> {
    match command {
        VapidCommand::Generate { out, json } => generate(out.as_deref(), json),
        VapidCommand::Import {
            file,
            keep_active,
            server,
        } => import(&file, keep_active, &server),
        VapidCommand::Export {
            key,
            directory,
            json,
        } => export(key.as_deref(), directory, json),
    }
}

fn generate(out: Option<&Path>, json: bool) -> Result<()> {
    let key = VapidKey::generate()?;
    let public = key.public_key().to_base64url();
    if let Some(path) = out {
        write_new(path, &key.to_pkcs8_pem())?;
        if json {
            output::json(&json!({"public_key": public, "file": path}))?;
        } else {
            output::say(&format!("the private key is in {}", path.display()));
            output::data(&public)?;
        }
        return Ok(());
    }
    print_key(&key, json)
}

fn import(file: &Path, keep_active: bool, server: &ServerArgs) -> Result<()> {
    // Read here first: what is wrong with the file is best said where the file is.
    let key = if file == Path::new("-") {
        read_standard_input()?
    } else {
        read_vapid_key(file)?
    };
    let api = ApiClient::new(server)?;
    let body = json!({"private_key": key.to_pkcs8_pem().as_str()});
    let mut imported = api.post("/v1/vapid-keys", &body)?;
    let id = imported
        .get("id")
        .and_then(Value::as_str)
        .context("the answer has no id")?
        .to_owned();
    if !keep_active {
        imported = api.post(&format!("/v1/vapid-keys/{id}/activate"), &Value::Null)?;
    }
    if server.json {
        return Ok(output::json(&imported)?);
    }
    let state = imported.get("state").and_then(Value::as_str).unwrap_or("?");
    output::say(&format!("imported; it is {state}"));
    output::data(&id)?;
    Ok(())
}

fn read_standard_input() -> Result<VapidKey> {
    let mut file = Vec::new();
    std::io::stdin()
        .lock()
        .take(64 * 1024)
        .read_to_end(&mut file)?;
    VapidKey::from_key_file(&file).context("standard input holds no VAPID key that can be used")
}

fn export(wanted: Option<&str>, directory: DirectoryArgs, json: bool) -> Result<()> {
    let settings = DirectorySettings::read(directory)?;
    let directory = DataDirectory::existing(&settings.data_dir)?;
    let sealer = Sealer::with_keys(&directory.sealing_keys(settings.sealing_keys)?)?;
    let keys =
        tidings_store_sqlite::read_vapid_keys(directory.path(), &sealer, ApplicationId::DEFAULT)?;
    let found = keys.into_iter().find(|(record, _)| match wanted {
        Some(id) => record.id.to_string() == id,
        None => record.state == VapidKeyState::Active,
    });
    let (_, key) = found.with_context(|| match wanted {
        Some(id) => format!("there is no key {id} in {}", directory.path().display()),
        None => "the default application has no active key".to_owned(),
    })?;
    print_key(&key, json)
}

fn print_key(key: &VapidKey, json: bool) -> Result<()> {
    let public = key.public_key().to_base64url();
    if json {
        output::json(&json!({
            "public_key": public,
            "private_key": key.to_raw_base64url().as_str(),
            "pem": key.to_pkcs8_pem().as_str(),
        }))?;
    } else {
        output::say(&format!("public key: {public}"));
        output::data(key.to_pkcs8_pem().trim_end())?;
    }
    Ok(())
}
