//! A container's config and its image's: what the user left open, the image says.

use std::collections::BTreeMap;

use dhow_engine_api::container::{ContainerConfig, HealthConfig};

use super::SpecError;

/// Fills what `config` leaves open from `image`.
///
/// # Errors
/// When there is nothing to run, or the working directory is not absolute.
pub(crate) fn image_into(config: &mut ContainerConfig, image: &ContainerConfig) -> Result<(), SpecError> {
    inherit(config, image);
    // `--entrypoint ""`: the image's is not wanted, and neither is its command.
    if config.entrypoint.as_deref().is_some_and(|words| words == [""]) {
        config.entrypoint = None;
    }
    if config.entrypoint.iter().chain(&config.cmd).flatten().next().is_none() {
        return Err(SpecError::NoCommand);
    }
    if !config.working_dir.is_empty() && !config.working_dir.starts_with('/') {
        let text = format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            config.working_dir
        );
        return Err(SpecError::Invalid(text));
    }
    Ok(())
}

/// The same without the checks: what `commit` does with its changes.
pub(crate) fn inherit(config: &mut ContainerConfig, image: &ContainerConfig) {
    text(&mut config.user, &image.user);
    text(&mut config.working_dir, &image.working_dir);
    text(&mut config.stop_signal, &image.stop_signal);
    map(&mut config.exposed_ports, image.exposed_ports.as_ref());
    map(&mut config.labels, image.labels.as_ref());
    map(&mut config.volumes, image.volumes.as_ref());
    environment(config, image);
    if config.entrypoint.as_deref().unwrap_or_default().is_empty() {
        if config.cmd.as_deref().unwrap_or_default().is_empty() {
            config.cmd.clone_from(&image.cmd);
        }
        if config.entrypoint.is_none() {
            config.entrypoint.clone_from(&image.entrypoint);
        }
    }
    if let Some(image) = &image.healthcheck {
        health(config.healthcheck.get_or_insert_default(), image);
    }
    if config.shell.is_none() {
        config.shell.clone_from(&image.shell);
    }
}

fn text(field: &mut String, image: &str) {
    if field.is_empty() {
        image.clone_into(field);
    }
}

fn map<V: Clone>(field: &mut Option<BTreeMap<String, V>>, image: Option<&BTreeMap<String, V>>) {
    for (key, value) in image.into_iter().flatten() {
        field.get_or_insert_default().entry(key.clone()).or_insert_with(|| value.clone());
    }
}

fn environment(config: &mut ContainerConfig, image: &ContainerConfig) {
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let said: Vec<String> = config.env.iter().flatten().map(|entry| name(entry)).collect();
    let missing = image.env.iter().flatten().filter(|entry| !said.contains(&name(entry)));
    let missing: Vec<String> = missing.cloned().collect();
    if !missing.is_empty() {
        config.env.get_or_insert_default().extend(missing);
    }
}

fn health(config: &mut HealthConfig, image: &HealthConfig) {
    if config.test.as_deref().unwrap_or_default().is_empty() {
        config.test.clone_from(&image.test);
    }
    let times = [
        (&mut config.interval, image.interval),
        (&mut config.timeout, image.timeout),
        (&mut config.start_period, image.start_period),
        (&mut config.start_interval, image.start_interval),
        (&mut config.retries, image.retries),
    ];
    for (field, image) in times {
        if *field == 0 {
            *field = image;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Option<Vec<String>> {
        Some(text.split(' ').map(str::to_owned).collect())
    }

    fn merged(entrypoint: Option<&str>, cmd: Option<&str>) -> (Option<Vec<String>>, Option<Vec<String>>) {
        let image =
            ContainerConfig { entrypoint: words("init"), cmd: words("serve all"), ..Default::default() };
        let mut config = ContainerConfig {
            entrypoint: entrypoint.and_then(words),
            cmd: cmd.and_then(words),
            ..Default::default()
        };
        image_into(&mut config, &image).expect("merges");
        (config.entrypoint, config.cmd)
    }

    #[test]
    fn an_entrypoint_of_ones_own_drops_the_images_command() {
        assert_eq!(merged(None, None), (words("init"), words("serve all")));
        assert_eq!(merged(None, Some("sh")), (words("init"), words("sh")));
        assert_eq!(merged(Some("sh"), None), (words("sh"), None));
        assert_eq!(merged(Some(""), Some("sh")), (None, words("sh")));
    }

    #[test]
    fn environment_and_labels_merge_by_name() {
        let label = |value: &str| Some(BTreeMap::from([("l".to_owned(), value.to_owned())]));
        let image = ContainerConfig {
            env: words("A=1 B=2"),
            cmd: words("sh"),
            labels: label("image"),
            ..Default::default()
        };
        let mut config = ContainerConfig { env: words("B=3"), labels: label("user"), ..Default::default() };
        image_into(&mut config, &image).expect("merges");
        assert_eq!(config.env, words("B=3 A=1"));
        assert_eq!(config.labels, label("user"));
    }

    #[test]
    fn nothing_to_run_and_crooked_folders_are_refused() {
        let none = ContainerConfig::default();
        assert!(matches!(image_into(&mut none.clone(), &none), Err(SpecError::NoCommand)));
        let mut config =
            ContainerConfig { cmd: words("sh"), working_dir: "tmp".into(), ..Default::default() };
        assert!(matches!(image_into(&mut config, &none), Err(SpecError::Invalid(_))));
    }
}
