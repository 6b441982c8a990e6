//! `gc why` and `gc log`: asks a running supervisor.

use std::path::Path;

use anyhow::{Context, bail};
use dhow_proto::any;
use dhow_proto::containerd::services::introspection::v1::PluginInfoRequest;
use dhow_proto::containerd::services::introspection::v1::introspection_client::IntrospectionClient;

use super::say;
use crate::gc::{Answer, QUESTION_URL, Question};
use crate::options::Gc;

pub(super) fn run(address: &Path, question: &Gc) -> anyhow::Result<()> {
    let question = match question {
        Gc::Why { namespace, kind, name } => {
            Question::Why { namespace: namespace.clone(), kind: kind.clone(), name: name.clone() }
        }
        Gc::Log => Question::Log,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(ask(address, &question))? {
        Answer::Why(None) => bail!("nothing keeps it"),
        Answer::Why(Some(way)) => {
            way.iter().enumerate().try_for_each(|(depth, node)| say(&format!("{}{node}", "  ".repeat(depth))))
        }
        Answer::Log(removals) => removals.iter().try_for_each(|removal| {
            say(&format!("{}  {} removed", removal.at, removal.count))?;
            removal.nodes.iter().try_for_each(|node| say(&format!("  {node}")))
        }),
    }
}

async fn ask(address: &Path, question: &Question) -> anyhow::Result<Answer> {
    let channel = dhow_proto::connect::connect(address).await;
    let channel = channel.with_context(|| format!("connect to the supervisor at {}", address.display()))?;
    let request = PluginInfoRequest {
        r#type: "io.containerd.gc.v1".to_owned(),
        id: "scheduler".to_owned(),
        options: Some(any::pack_json(QUESTION_URL, serde_json::to_vec(question)?)),
    };
    let mut client = IntrospectionClient::new(channel);
    let reply =
        client.plugin_info(request).await.map_err(|status| anyhow::anyhow!("{}", status.message()))?;
    let extra = reply.into_inner().extra.context("the supervisor does not know this question")?;
    Ok(serde_json::from_slice(&extra.value)?)
}
