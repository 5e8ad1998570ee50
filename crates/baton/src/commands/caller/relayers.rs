//! `baton relayers`.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use super::client::Client;
use super::{print, show};
use crate::cli::{RelayersArgs, RelayersCommand};
use crate::config::Variables;

/// Runs the command.
pub async fn run(arguments: RelayersArgs, variables: &dyn Variables) -> Result<ExitCode> {
    let client = Client::new(&arguments.caller, variables)?;
    let as_json = arguments.caller.json;
    match arguments.command {
        RelayersCommand::List(page) => {
            let query = [
                ("page", page.page.to_string()),
                ("per_page", page.per_page.to_string()),
            ];
            let answer = client.get(&["relayers"], &query).await?;
            print(as_json, &answer.body, show::relayers)
        }
        RelayersCommand::Show { relayer } => {
            let (path, status) = (["relayers", &relayer], ["relayers", &relayer, "status"]);
            let answers = tokio::try_join!(client.get(&path, &[]), client.get(&status, &[]))?;
            let both = json!({ "relayer": answers.0.data(), "status": answers.1.data() });
            print(as_json, &both, show::relayer)
        }
    }
}
