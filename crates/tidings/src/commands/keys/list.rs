//! `tidings keys list`.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};
use tidings_core::sealing::{SealingKeyId, SealingKeys};
use tidings_store_sqlite::KeyUsage;

use crate::cli::KeysListArgs;
use crate::data_directory::DataDirectory;
use crate::output;
use crate::settings::DirectorySettings;

pub(super) fn run(args: KeysListArgs) -> Result<()> {
    let settings = DirectorySettings::read(args.directory)?;
    let directory = DataDirectory::existing(&settings.data_dir)?;
    let keys = match settings.sealing_keys {
        Some(configured) => Some(configured.keys),
        None => directory.sealing_key_file().read()?.map(|file| file.keys),
    };
    let usage = tidings_store_sqlite::read_key_usage(directory.path())?;
    let listed = listed(keys.as_ref(), &usage);
    if args.json {
        let listed: Vec<Value> = listed.iter().map(Listed::to_json).collect();
        output::json(&json!({"keys": listed, "damaged": damaged(&usage)}))?;
        return Ok(());
    }
    for key in &listed {
        output::data(&key.to_line())?;
    }
    match damaged(&usage) {
        0 => {}
        damaged => output::data(&format!("damaged   {damaged} values that name no key"))?,
    }
    Ok(())
}

/// A key that is given, or that values need.
struct Listed {
    id: SealingKeyId,
    role: Role,
    by_table: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Copy)]
enum Role {
    Seals,
    Opens,
    Missing,
}

impl Listed {
    fn values(&self) -> u64 {
        self.by_table.values().sum()
    }

    fn to_line(&self) -> String {
        let values = self.values();
        let state = match (self.role, values) {
            (Role::Seals, _) => "seals and opens",
            (Role::Opens, 0) => "opens; no value needs it, so it can be taken out",
            (Role::Opens, _) => "opens; needed until `tidings keys reseal` was run",
            (Role::Missing, _) => "not given: these values cannot be opened",
        };
        format!("{}  {values} values  {state}", self.id)
    }

    fn to_json(&self) -> Value {
        json!({
            "id": self.id.to_string(),
            "given": !matches!(self.role, Role::Missing),
            "seals": matches!(self.role, Role::Seals),
            "values": self.values(),
            "tables": self.by_table,
        })
    }
}

/// The given keys in their order, then those that are missing.
fn listed(keys: Option<&SealingKeys>, usage: &[KeyUsage]) -> Vec<Listed> {
    let given = keys.into_iter().flat_map(SealingKeys::ids);
    let roles = std::iter::once(Role::Seals).chain(std::iter::repeat(Role::Opens));
    let mut listed: Vec<Listed> = given
        .zip(roles)
        .map(|(id, role)| Listed {
            id,
            role,
            by_table: BTreeMap::new(),
        })
        .collect();
    for KeyUsage { table, key, values } in usage {
        let Some(id) = *key else {
            continue;
        };
        match listed.iter_mut().find(|listed| listed.id == id) {
            Some(known) => *known.by_table.entry(table).or_default() += values,
            None => listed.push(Listed {
                id,
                role: Role::Missing,
                by_table: BTreeMap::from([(*table, *values)]),
            }),
        }
    }
    listed
}

fn damaged(usage: &[KeyUsage]) -> u64 {
    let without_key = usage.iter().filter(|usage| usage.key.is_none());
    without_key.map(|usage| usage.values).sum()
}
