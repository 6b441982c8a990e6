//! A full disk: what does not fit is refused, what was answered is there, and nobody has to restart anything once there
//! is space again.

use std::collections::BTreeSet;
use std::path::Path;

use dhow_integration_tests::client::{Client, block_on};
use dhow_integration_tests::host::Host;
use dhow_integration_tests::process::eventually;
use dhow_integration_tests::supervisor::Supervisor;
use dhow_proto::any;
use dhow_proto::containerd::services::containers::v1::{
    Container, CreateContainerRequest, DeleteContainerRequest, ListContainersRequest, container,
};
use dhow_proto::containerd::services::leases::v1::leases_client::LeasesClient;
use dhow_proto::containerd::services::leases::v1::{CreateRequest, ListRequest};
use nix::mount::{MsFlags, mount, umount};
use tonic::Status;

/// Containers are remembered for the boot (in the state folder), leases on the disk (in the root).
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Names {
    containers: BTreeSet<String>,
    leases: BTreeSet<String>,
}

/// Makes a container and a lease; notes what was answered.
async fn add(client: &Client, name: &str, answered: &mut Names) -> Result<(), Status> {
    let runtime = Some(container::Runtime { name: "io.containerd.dhow.v2".to_owned(), options: None });
    let spec = Some(any::pack_json(any::SPEC_URL, vec![b' '; 8 << 10]));
    let container = Container { id: name.to_owned(), runtime, spec, ..Container::default() };
    let request = CreateContainerRequest { container: Some(container) };
    let made = client.containers().create(client.request(request)).await;
    if made.is_ok() {
        answered.containers.insert(name.to_owned());
    }
    let request = CreateRequest { id: name.to_owned(), ..CreateRequest::default() };
    LeasesClient::new(client.channel()).create(client.request(request)).await?;
    answered.leases.insert(name.to_owned());
    made.map(drop)
}

async fn names(client: &Client) -> Result<Names, Status> {
    let request = client.request(ListContainersRequest::default());
    let containers = client.containers().list(request).await?.into_inner().containers;
    let mut leases = LeasesClient::new(client.channel());
    let leases = leases.list(client.request(ListRequest::default())).await?.into_inner().leases;
    Ok(Names {
        containers: containers.into_iter().map(|container| container.id).collect(),
        leases: leases.into_iter().map(|lease| lease.id).collect(),
    })
}

/// Takes all the space that there is at `folder`.
fn fill(folder: &Path) -> std::path::PathBuf {
    let ballast = folder.join("ballast");
    let mut file = std::fs::File::create(&ballast).expect("create");
    let error = std::io::copy(&mut std::io::repeat(0), &mut file).expect_err("the disk ends");
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    ballast
}

fn outlives_a_full(folder: &str) {
    let host = Host::new();
    let full = host.folder(folder);
    let none: Option<&str> = None;
    mount(none, &full, Some("tmpfs"), MsFlags::empty(), Some("size=16m")).expect("mount");
    let mut supervisor = Supervisor::start_in(host);
    let mut answered = Names::default();
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        add(&client, "before", &mut answered).await.expect("there is space");
        let ballast = fill(&full);
        let mut refused = 0;
        for number in 0..4000 {
            let name = format!("meanwhile-{number}");
            let added = add(&client, &name, &mut answered).await;
            refused += usize::from(added.is_err());
            if let ("root", Err(error)) = (folder, added) {
                assert_eq!(error.code(), tonic::Code::ResourceExhausted, "{error}");
            }
            if refused == 20 {
                break;
            }
        }
        assert_eq!(refused, 20, "the disk is full, and nothing is refused");
        if let Ok(names) = names(&client).await {
            assert_eq!(names, answered, "on the full disk");
        }
        if folder == "root" {
            // So can room be made: deletions need none.
            for name in ["before", "meanwhile-0"] {
                let request = client.request(DeleteContainerRequest { id: name.to_owned() });
                client.containers().delete(request).await.expect("a deletion on the full disk");
                answered.containers.remove(name);
            }
        }
        std::fs::remove_file(ballast).expect("remove");
        let mut again = 0;
        while let Err(error) = add(&client, &format!("after-{again}"), &mut answered).await {
            again += 1;
            assert!(again < 100, "{error}");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert_eq!(names(&client).await.expect("list"), answered);
    });
    supervisor.kill();
    supervisor.launch();
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        assert_eq!(names(&client).await.expect("list"), answered, "after the death of the process");
    });
    supervisor.stop();
    eventually("the file system is nobody's", || umount(&full).is_ok());
}

#[test]
fn a_full_root_costs_only_what_did_not_fit() {
    outlives_a_full("root");
}

#[test]
fn a_full_state_folder_costs_only_what_did_not_fit() {
    outlives_a_full("state");
}
