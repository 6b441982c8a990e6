//! The supervisor's progress as Docker's lines: pure.

use std::collections::HashMap;

use dhow_engine_api::message::JsonMessage;
use dhow_proto::containerd::types::transfer::Progress;

/// What was said of each layer last, so that nothing is said twice.
#[derive(Debug, Default)]
pub(super) struct Lines {
    layers: HashMap<String, Stage>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Announced,
    Downloading,
    Downloaded,
    Extracting,
    Done,
}

impl Lines {
    /// The lines that one message of progress makes; none for what is not a layer.
    pub(super) fn of(&mut self, progress: &Progress) -> Vec<JsonMessage> {
        let Some(descriptor) = &progress.desc else { return Vec::new() };
        if !is_layer(&descriptor.media_type) {
            return Vec::new();
        }
        let hex = descriptor.digest.split_once(':').map_or(descriptor.digest.as_str(), |(_, hex)| hex);
        let id = crate::identifier::short(hex).to_owned();
        let new = !self.layers.contains_key(&id);
        let before = *self.layers.entry(id.clone()).or_insert(Stage::Announced);
        let mut lines = Vec::new();
        let (stage, mut said) = match progress.event.as_str() {
            "already exists" | "exists" => {
                self.layers.insert(id.clone(), Stage::Done);
                return if before == Stage::Done {
                    lines
                } else {
                    vec![JsonMessage::part("Already exists", &id)]
                };
            }
            "waiting" => (Stage::Announced, Vec::new()),
            "downloading" => (
                Stage::Downloading,
                vec![JsonMessage::position("Downloading", &id, progress.progress, progress.total)],
            ),
            "complete" => (
                Stage::Downloaded,
                ["Verifying Checksum", "Download complete"].map(|text| JsonMessage::part(text, &id)).to_vec(),
            ),
            "extracting" => (
                Stage::Extracting,
                vec![JsonMessage::position("Extracting", &id, progress.progress, progress.total)],
            ),
            "extracted" => (Stage::Done, vec![JsonMessage::part("Pull complete", &id)]),
            _ => return lines,
        };
        if new {
            lines.push(JsonMessage::part("Pulling fs layer", &id));
        }
        // Positions repeat; stages do not, and none is left for an earlier one.
        let goes_on = matches!(stage, Stage::Downloading | Stage::Extracting) && stage == before;
        if stage > before || goes_on {
            self.layers.insert(id, stage);
            lines.append(&mut said);
        }
        lines
    }
}

fn is_layer(media_type: &str) -> bool {
    media_type.contains(".layer.") || media_type.contains(".rootfs.")
}

#[cfg(test)]
mod tests {
    use dhow_proto::containerd::types::Descriptor;

    use super::*;

    fn told(lines: &mut Lines, event: &str, progress: i64) -> Vec<String> {
        let desc = Some(Descriptor {
            media_type: "application/vnd.oci.image.layer.v1.tar+gzip".into(),
            digest: format!("sha256:{}", "a".repeat(64)),
            ..Descriptor::default()
        });
        let message = Progress { event: event.into(), progress, total: 10, desc, ..Progress::default() };
        lines.of(&message).into_iter().map(|line| line.status).collect()
    }

    #[test]
    fn a_layer_goes_through_its_stages_once() {
        let mut lines = Lines::default();
        assert_eq!(told(&mut lines, "waiting", 0), ["Pulling fs layer"]);
        assert_eq!(told(&mut lines, "downloading", 5), ["Downloading"]);
        assert_eq!(told(&mut lines, "downloading", 7), ["Downloading"]);
        assert_eq!(told(&mut lines, "complete", 10), ["Verifying Checksum", "Download complete"]);
        assert!(told(&mut lines, "complete", 10).is_empty());
        assert_eq!(told(&mut lines, "extracted", 10), ["Pull complete"]);
        assert!(told(&mut lines, "downloading", 5).is_empty());
    }

    #[test]
    fn what_is_here_and_what_is_no_layer() {
        let mut lines = Lines::default();
        assert_eq!(told(&mut lines, "already exists", 0), ["Already exists"]);
        assert!(told(&mut lines, "already exists", 0).is_empty());
        assert!(lines.of(&Progress { event: "complete".into(), ..Progress::default() }).is_empty());
    }
}
