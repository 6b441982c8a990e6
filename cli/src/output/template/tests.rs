//! Go templates, as Docker renders them.

use serde_json::{Value, json};

use super::{Datum, Missing, Mode, Template};

fn run(source: &str, data: &Value) -> Result<String, String> {
    let mut out = String::new();
    Template::parse(source)
        .and_then(|template| template.execute(Datum::document(data), Mode::Data, Missing::Typed, &mut out))
        .map(|()| out)
        .map_err(|error| error.to_string())
}

fn sample() -> Value {
    json!({
        "Name": "/web", "Id": "0123456789abcdef", "State": {"Running": true, "Pid": 12, "Health": null},
        "Config": {"Image": "busybox", "Env": ["A=1", "B=2"], "Labels": {"b": "2", "a": "1"}},
        "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "81/tcp": null}},
        "Mounts": [], "Size": 1.5,
    })
}

#[test]
fn values() {
    for (source, expected) in [
        ("plain", "plain"),
        ("{{.Name}}", "/web"),
        ("{{.State.Pid}} {{ .State.Running }}", "12 true"),
        ("{{.Config.Env}}", "[A=1 B=2]"),
        ("{{.Config.Labels}}", "map[a:1 b:2]"),
        ("{{.Config.Labels.a}}{{.Config.Labels.zz}}", "1<no value>"),
        ("{{json .Config.Labels}}", r#"{"b":"2","a":"1"}"#),
        ("{{.State.Health}}", "<nil>"),
        ("{{.Size}}", "1.5"),
        ("{{/* nothing */}}x", "x"),
        ("a {{- .State.Pid -}} b", "a12b"),
        ("{{\"q\\\"\\t\"}}{{`r\\`}}", "q\"\tr\\"),
        ("{{len .Mounts}} {{len .Name}}", "0 4"),
        (
            "{{$}}",
            "{/web 0123456789abcdef {true 12 <nil>} {busybox [A=1 B=2] map[a:1 b:2]} {map[80/tcp:[{0.0.0.0 8080}] 81/tcp:<nil>]} [] 1.5}",
        ),
    ] {
        assert_eq!(run(source, &sample()).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn control() {
    for (source, expected) in [
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ("{{if .Mounts}}m{{else if .State.Health}}h{{else}}none{{end}}", "none"),
        ("{{if not .Mounts}}empty{{end}}", "empty"),
        ("{{range .Config.Env}}<{{.}}>{{end}}", "<A=1><B=2>"),
        ("{{range $i, $e := .Config.Env}}{{$i}}:{{$e}} {{end}}", "0:A=1 1:B=2 "),
        ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}", "a=1;b=2;"),
        ("{{range .Mounts}}x{{else}}none{{end}}", "none"),
        ("{{range .Config.Env}}{{break}}{{end}}!", "!"),
        ("{{range .Config.Env}}{{if eq . \"A=1\"}}{{continue}}{{end}}{{.}}{{end}}", "B=2"),
        ("{{with .Config}}{{.Image}} {{$.Name}}{{end}}", "busybox /web"),
        ("{{with .State.Health}}x{{else}}no{{end}}", "no"),
        ("{{with .State.Health}}x{{else with .Config}}{{.Image}}{{end}}", "busybox"),
        ("{{$x := .Name}}{{$x = \"y\"}}{{$x}}", "y"),
        (
            "{{range $p, $c := .NetworkSettings.Ports}}{{$p}} -> {{if $c}}{{(index $c 0).HostPort}}{{else}}-{{end}};{{end}}",
            "80/tcp -> 8080;81/tcp -> -;",
        ),
    ] {
        assert_eq!(run(source, &sample()).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn functions() {
    for (source, expected) in [
        ("{{upper .Name}} {{.Name | lower | title}}", "/WEB /Web"),
        ("{{truncate .Id 4}}", "0123"),
        ("{{join .Config.Env \", \"}}", "A=1, B=2"),
        ("{{join (split \"a:b\" \":\") \"-\"}}", "a-b"),
        ("{{pad .Name 2 1}}|", "  /web |"),
        ("{{println 1 \"a\"}}", "1 a\n"),
        ("{{print 1 2 \"a\" 3}}", "1 2a3"),
        (
            "{{printf \"%-6s|%03d|%q|%v|%.1f|%%\" .Name .State.Pid .Name .Mounts .Size}}",
            "/web  |012|\"/web\"|[]|1.5|%",
        ),
        ("{{index .Config.Env 1}}", "B=2"),
        ("{{index .Config.Labels \"a\"}}", "1"),
        ("{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}", "8080"),
        ("{{slice .Id 1 3}}", "12"),
        ("{{eq .State.Pid 12}} {{ne .Name \"x\"}} {{lt 1 2}} {{ge 1 2}}", "true true true false"),
        ("{{and true .Mounts}} {{or .Mounts \"x\"}}", "[] x"),
        ("{{html \"<a>\"}}", "&lt;a&gt;"),
        ("{{.Name | printf \"%s-%s\" \"x\"}}", "x-/web"),
    ] {
        assert_eq!(run(source, &sample()).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn errors_are_gos() {
    for (source, expected) in [
        ("{{.Nope}}", r#"template: :1:2: executing "" at <.Nope>: map has no entry for key "Nope""#),
        (
            "{{.State.Nope}}",
            r#"template: :1:8: executing "" at <.State.Nope>: map has no entry for key "Nope""#,
        ),
        ("{{.Name", "template: :1: unclosed action"),
        ("{{foo .Name}}", "template: :1: function \"foo\" not defined"),
        ("{{if .Name}}", "template: :1: unexpected EOF"),
        ("{{end}}", "template: :1: unexpected {{end}}"),
        ("{{}}", "template: :1: missing value for command"),
        ("{{\"a}}", "template: :1: unterminated quoted string"),
        ("{{$x}}", "template: :1: undefined variable \"$x\""),
        (
            "{{index .Config.Env 9}}",
            r#"template: :1:2: executing "" at <index .Config.Env 9>: error calling index: index out of range: 9"#,
        ),
        (
            "{{lower .State.Pid}}",
            r#"template: :1:2: executing "" at <lower .State.Pid>: wrong type for value; expected string; got int"#,
        ),
    ] {
        let error = run(source, &sample()).expect_err(source);
        if source.starts_with("{{index") || source.starts_with("{{lower") {
            assert!(error.ends_with(expected.rsplit(">: ").next().unwrap_or("")), "{error}");
        } else {
            assert_eq!(error, expected, "{source}");
        }
    }
}
