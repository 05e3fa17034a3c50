//! Applications, secrets.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _};
use tidings_core::application::{ApplicationId, ApplicationName};
use tidings_core::mac::MacSecrets;
use tidings_core::store::{SetupStore, StoreError, Sweep, Swept};

use crate::database::refused;
use crate::sealed_columns::SECRETS;
use crate::writer::Queue;
use crate::{Seals, SqliteStore, housekeeping};

#[async_trait]
impl SetupStore for SqliteStore {
    async fn applications(&self) -> Result<Vec<(ApplicationId, ApplicationName)>, StoreError> {
        self.read(|connection, _| applications(connection)).await
    }

    async fn mac_secrets(&self, made: MacSecrets) -> Result<MacSecrets, StoreError> {
        self.write(Queue::Accept, move |connection, seals| {
            Ok(MacSecrets {
                endpoint: secret(connection, seals, "endpoint", made.endpoint)?,
                subscription_token: secret(
                    connection,
                    seals,
                    "subscription_token",
                    made.subscription_token,
                )?,
                receipt_proof: secret(connection, seals, "receipt_proof", made.receipt_proof)?,
            })
        })
        .await
    }

    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        for chore in housekeeping::CHORES {
            loop {
                let step = self
                    .write(Queue::Bulk, move |connection, _| chore(connection, sweep))
                    .await?;
                swept += step.swept;
                if step.is_done {
                    break;
                }
            }
        }
        Ok(swept)
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.write(Queue::Accept, |connection, _| {
            // There and back: SQLite writes nothing where nothing changes, and would never notice
            // that there is no room.
            for step in [1, -1] {
                connection
                    .execute("UPDATE epochs SET epoch = epoch + ?1 WHERE id = 1", (step,))
                    .map_err(refused)?;
            }
            Ok(())
        })
        .await
    }
}

fn applications(
    connection: &Connection,
) -> Result<Vec<(ApplicationId, ApplicationName)>, StoreError> {
    let sql = "-- applications
        SELECT id, name
        FROM applications
        ORDER BY id";
    let mut statement = connection.prepare_cached(sql).map_err(refused)?;
    let rows = statement
        .query_map((), |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
        })
        .map_err(refused)?;
    rows.map(|row| {
        let (id, name) = row.map_err(refused)?;
        let name =
            ApplicationName::parse(&name).ok_or(StoreError::Unreadable("applications.name"))?;
        Ok((ApplicationId::from_i64(id), name))
    })
    .collect()
}

fn secret(
    connection: &Connection,
    seals: &Seals,
    name: &'static str,
    made: [u8; 32],
) -> Result<[u8; 32], StoreError> {
    let place = SECRETS.place(name.as_bytes());
    let kept: Option<Vec<u8>> = connection
        .query_row(
            "SELECT sealed FROM secrets WHERE name = ?1",
            [name],
            |row| row.get(0),
        )
        .optional()
        .map_err(refused)?;
    if let Some(sealed) = kept {
        let opened = seals.sealer.open(place, &sealed)?;
        return opened
            .as_slice()
            .try_into()
            .map_err(|_| StoreError::Unreadable("secrets.sealed"));
    }
    let sealed = seals.sealer.seal(place, &made, seals.randomness.as_ref())?;
    connection
        .execute(
            "INSERT INTO secrets (name, sealed) VALUES (?1, ?2)",
            (name, sealed),
        )
        .map_err(refused)?;
    Ok(made)
}
