//! Activated mounts: they outlive the supervisor, and end with whoever needed them.

use std::path::Path;

use dhow_integration_tests::client::{Client, block_on};
use dhow_integration_tests::supervisor::Supervisor;
use dhow_proto::containerd::services::leases::v1::leases_client::LeasesClient;
use dhow_proto::containerd::services::leases::v1::{CreateRequest, DeleteRequest};
use dhow_proto::containerd::services::mounts::v1::mounts_client::MountsClient;
use dhow_proto::containerd::services::mounts::v1::{
    ActivateRequest, DeactivateRequest, InfoRequest, ListRequest,
};
use dhow_proto::containerd::types::{ActivationInfo, Mount};
use tonic::{Code, Status};

fn tmpfs(kind: &str) -> Mount {
    let options = vec!["size=1m".to_owned()];
    Mount { r#type: kind.to_owned(), source: "tmpfs".to_owned(), options, ..Mount::default() }
}

async fn activate(client: &Client, name: &str, lease: Option<&str>) -> Result<ActivationInfo, Status> {
    let overlay = Mount {
        r#type: "format/overlay".to_owned(),
        source: "overlay".to_owned(),
        options: vec!["lowerdir={{ overlay 1 0 }}".to_owned()],
        ..Mount::default()
    };
    let mounts = vec![tmpfs("tmpfs"), tmpfs("tmpfs"), overlay];
    let name = name.to_owned();
    let mut request = client.request(ActivateRequest { name, mounts, ..ActivateRequest::default() });
    if let Some(lease) = lease {
        let lease = lease.parse().expect("ASCII");
        request.metadata_mut().insert(dhow_proto::namespace::LEASE_HEADER, lease);
    }
    let reply = MountsClient::new(client.channel()).activate(request).await?.into_inner();
    Ok(reply.info.expect("an activation"))
}

async fn lease(client: &Client, id: &str) {
    let request = CreateRequest { id: id.to_owned(), ..CreateRequest::default() };
    LeasesClient::new(client.channel()).create(client.request(request)).await.expect("make a lease");
}

async fn names(client: &Client) -> Vec<String> {
    let request = client.request(ListRequest::default());
    let mut found = MountsClient::new(client.channel()).list(request).await.expect("list").into_inner();
    let mut names = Vec::new();
    while let Some(message) = found.message().await.expect("no error") {
        names.push(message.info.expect("an activation").name);
    }
    names
}

fn is_mounted(info: &ActivationInfo) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    info.active.iter().all(|active| mounts.contains(&format!(" {} ", active.mount_point)))
}

#[test]
fn an_activation_outlives_the_supervisor_and_ends_with_its_lease() {
    let mut supervisor = Supervisor::start();
    let info = block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        lease(&client, "keeper").await;
        let info = activate(&client, "tree", Some("keeper")).await.expect("activate");
        let lower = format!("lowerdir={}:{}", info.active[1].mount_point, info.active[0].mount_point);
        assert_eq!((info.system.len(), info.system[0].options.as_slice()), (1, [lower].as_slice()));
        let taken = activate(&client, "tree", None).await.expect_err("the name is taken");
        assert_eq!(taken.code(), Code::AlreadyExists);
        info
    });
    supervisor.kill();
    supervisor.launch();
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        let request = client.request(InfoRequest { name: "tree".to_owned() });
        let again = MountsClient::new(client.channel()).info(request).await.expect("info").into_inner();
        assert_eq!(again.info.expect("an activation"), info);
        assert!(is_mounted(&info));
        // A collection that somebody waits for takes what nothing holds, and only that.
        lease(&client, "other").await;
        let other = activate(&client, "loose", None).await.expect("activate");
        let collect = |id: &str| DeleteRequest { id: id.to_owned(), sync: true };
        let mut leases = LeasesClient::new(client.channel());
        leases.delete(client.request(collect("other"))).await.expect("collect");
        assert_eq!(names(&client).await, ["tree"]);
        assert!(is_mounted(&info) && !Path::new(&other.active[0].mount_point).exists());
        leases.delete(client.request(collect("keeper"))).await.expect("collect");
        assert_eq!(names(&client).await, [""; 0]);
        assert!(!Path::new(&info.active[0].mount_point).exists());
    });
}

#[test]
fn what_a_client_mounts_by_itself_is_left_to_it() {
    let supervisor = Supervisor::start();
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        let mut mounts = MountsClient::new(client.channel());
        let request = ActivateRequest {
            name: "plain".to_owned(),
            mounts: vec![tmpfs("tmpfs")],
            ..ActivateRequest::default()
        };
        let refused = mounts.activate(client.request(request.clone())).await.expect_err("nothing to do");
        assert_eq!(refused.code(), Code::Unimplemented);
        let request = ActivateRequest { temporary: true, ..request };
        let info = mounts.activate(client.request(request)).await.expect("activate").into_inner().info;
        let info = info.expect("an activation");
        assert_eq!(info.system[0].source, info.active[0].mount_point);
        let request = || client.request(DeactivateRequest { name: "plain".to_owned() });
        mounts.deactivate(request()).await.expect("deactivate");
        assert!(!Path::new(&info.active[0].mount_point).exists());
        assert_eq!(mounts.deactivate(request()).await.expect_err("gone").code(), Code::NotFound);
    });
}
