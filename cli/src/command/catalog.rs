//! Every command, and the groups they are in.

use super::{Entry, container, image, system};

/// The groups: their name and what they hold.
pub(super) const GROUPS: &[(&str, &str)] =
    &[("container", "Manage containers"), ("image", "Manage images"), ("system", "Manage the daemon")];

/// Every command under all its names.
pub(super) static CATALOG: &[Entry] = &[
    Entry::new::<container::run::Run>(&["run", "container run"]),
    Entry::new::<container::exec::Exec>(&["exec", "container exec"]),
    Entry::new::<container::list::List>(&["ps", "container ls", "container list", "container ps"]),
    Entry::new::<container::create::Create>(&["create", "container create"]),
    Entry::new::<container::start::Start>(&["start", "container start"]),
    Entry::new::<container::stop::Stop>(&["stop", "container stop"]),
    Entry::new::<container::restart::Restart>(&["restart", "container restart"]),
    Entry::new::<container::kill::Kill>(&["kill", "container kill"]),
    Entry::new::<container::rm::Rm>(&["rm", "container rm", "container remove"]),
    Entry::new::<container::pause::Pause>(&["pause", "container pause"]),
    Entry::new::<container::unpause::Unpause>(&["unpause", "container unpause"]),
    Entry::new::<container::wait::Wait>(&["wait", "container wait"]),
    Entry::new::<container::attach::Attach>(&["attach", "container attach"]),
    Entry::new::<container::logs::Logs>(&["logs", "container logs"]),
    Entry::new::<container::top::Top>(&["top", "container top"]),
    Entry::new::<container::port::Port>(&["port", "container port"]),
    Entry::new::<container::rename::Rename>(&["rename", "container rename"]),
    Entry::new::<container::inspect::Inspect>(&["container inspect"]),
    Entry::new::<image::list::List>(&["images", "image ls", "image list"]),
    Entry::new::<image::pull::Pull>(&["pull", "image pull"]),
    Entry::new::<image::rm::Rm>(&["rmi", "image rm", "image remove"]),
    Entry::new::<image::tag::Tag>(&["tag", "image tag"]),
    Entry::new::<image::import::Import>(&["import", "image import"]),
    Entry::new::<image::inspect::Inspect>(&["image inspect"]),
    Entry::new::<system::inspect::Inspect>(&["inspect"]),
    Entry::new::<system::version::ShowVersion>(&["version"]),
    Entry::new::<system::info::ShowInfo>(&["info", "system info"]),
    Entry::new::<system::events::Events>(&["events", "system events"]),
];
