//! Loads, gets, attaches, lists, detaches and unloads one program through the crate that bpfman's Rust users have.
//!
//! Usage: `bpfman-api-client SOCKET OBJECT PROGRAM xdp INTERFACE [NETNS-PATH]`
//!    or: `bpfman-api-client SOCKET OBJECT PROGRAM tracepoint GROUP/NAME`
//!
//! Prints one line per call, `call key=value ...`, which the test compares with what the kernel says. Exit code 1 at
//! the first answer that is an error or is not what bpfman's documentation promises.

use std::{collections::HashMap, env, error::Error, process::ExitCode, time::Duration};

use bpfman_api::v1::{
    attach_info::Info, bpfman_client::BpfmanClient, bytecode_location::Location, AttachInfo, AttachRequest,
    BpfmanProgramType, BytecodeLocation, DetachRequest, GetRequest, ListRequest, LoadInfo, LoadRequest,
    TracepointAttachInfo, UnloadRequest, XdpAttachInfo,
};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

const APPLICATION: (&str, &str) = ("bpfman.io/uuid", "rust-client");

type Result<T> = std::result::Result<T, Box<dyn Error>>;

struct Arguments {
    socket: String,
    object: String,
    program: String,
    program_type: BpfmanProgramType,
    attach: Info,
}

fn arguments() -> Result<Arguments> {
    let mut given = env::args().skip(1);
    let mut next = |what: &str| given.next().ok_or_else(|| format!("{what} is missing"));
    let (socket, object, program) = (next("SOCKET")?, next("OBJECT")?, next("PROGRAM")?);
    let (program_type, attach) = match next("xdp or tracepoint")?.as_str() {
        "xdp" => (
            BpfmanProgramType::Xdp,
            Info::XdpAttachInfo(XdpAttachInfo {
                priority: 50,
                iface: next("INTERFACE")?,
                position: 0,
                proceed_on: vec![2, 31],
                netns: next("NETNS").ok(),
                metadata: HashMap::new(),
            }),
        ),
        "tracepoint" => (
            BpfmanProgramType::Tracepoint,
            Info::TracepointAttachInfo(TracepointAttachInfo {
                tracepoint: next("GROUP/NAME")?,
                metadata: HashMap::new(),
            }),
        ),
        other => return Err(format!("{other}: neither xdp nor tracepoint").into()),
    };
    Ok(Arguments { socket, object, program, program_type, attach })
}

fn expect(right: bool, what: &str) -> Result<()> {
    if right {
        Ok(())
    } else {
        Err(format!("not so: {what}").into())
    }
}

async fn connect(socket: String) -> Result<BpfmanClient<Channel>> {
    // The address is never used: the connector knows only the one socket.
    let channel = Endpoint::try_from("http://unused")?
        .timeout(Duration::from_secs(30))
        .connect_with_connector(service_fn(move |_: Uri| UnixStream::connect(socket.clone())))
        .await?;
    Ok(BpfmanClient::new(channel))
}

async fn run(arguments: Arguments) -> Result<()> {
    let mut client = connect(arguments.socket).await?;
    let metadata = HashMap::from([(APPLICATION.0.to_string(), APPLICATION.1.to_string())]);

    let loaded = client
        .load(LoadRequest {
            bytecode: Some(BytecodeLocation { location: Some(Location::File(arguments.object.clone())) }),
            metadata: metadata.clone(),
            global_data: HashMap::new(),
            uuid: None,
            map_owner_id: None,
            info: vec![LoadInfo {
                name: arguments.program.clone(),
                program_type: arguments.program_type as i32,
                info: None,
            }],
        })
        .await?
        .into_inner();
    expect(loaded.programs.len() == 1, "one program was asked for and one was loaded")?;
    let kernel = loaded.programs[0].kernel_info.as_ref().ok_or("no kernel_info in the answer to Load")?;
    let (id, tag) = (kernel.id, kernel.tag.clone());
    println!("load id={id} type={} tag={tag}", kernel.program_type);

    let got = client.get(GetRequest { id }).await?.into_inner();
    let info = got.info.ok_or("no info in the answer to Get")?;
    expect(info.name == arguments.program, "Get tells the program's whole name")?;
    expect(info.metadata == metadata, "Get tells the metadata that Load was given")?;
    expect(info.links.is_empty(), "a program that was only loaded has no links")?;
    expect(
        info.bytecode.and_then(|bytecode| bytecode.location) == Some(Location::File(arguments.object)),
        "Get tells where the bytecode came from",
    )?;
    expect(got.kernel_info.map(|kernel| kernel.tag) == Some(tag), "Get and Load tell the same tag")?;
    println!("get id={id} map_pin_path={}", info.map_pin_path);

    let attach = Some(AttachInfo { info: Some(arguments.attach) });
    let link = client.attach(AttachRequest { id, attach }).await?.into_inner().link_id;
    expect(link != 0, "a link's id is never 0")?;
    println!("attach link={link}");

    let mine = ListRequest { program_type: None, bpfman_programs_only: Some(true), match_metadata: metadata };
    let listed = client.list(mine.clone()).await?.into_inner().results;
    expect(listed.len() == 1, "the metadata selects exactly this program")?;
    let links = listed[0].info.as_ref().map(|info| info.links.clone()).unwrap_or_default();
    expect(links == vec![link], "List tells the program's links")?;
    println!("list programs={} links={links:?}", listed.len());

    client.detach(DetachRequest { link_id: link }).await?;
    println!("detach link={link}");

    client.unload(UnloadRequest { id }).await?;
    let left = client.list(mine).await?.into_inner().results;
    expect(left.is_empty(), "after Unload nothing is listed")?;
    let gone = client.get(GetRequest { id }).await.err().ok_or("Get still finds the unloaded program")?;
    println!("unload id={id} then={:?}", gone.code());
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let done = match arguments() {
        Ok(arguments) => run(arguments).await,
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bpfman-api-client: {error}");
            ExitCode::FAILURE
        }
    }
}
