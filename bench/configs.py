"""The configs of pinfold and its peers: sensible for production, one thread, four endpoints, X-Forwarded-For set.

What is not said here is as the peer comes. `/proc/PID/schedstat` counts what each of them costs with that.
"""

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Front", "apache", "caddy", "envoy", "haproxy", "nginx", "pinfold"]


@dataclass(frozen=True, slots=True)
class Front:
    """What a peer is to serve: its own directory, its port, and endpoints as `127.0.0.1:80` or `unix:/path`."""

    directory: Path
    port: int
    endpoints: tuple[str, ...]
    log: bool = False
    threads: int = 1
    tuned: bool = False
    """Buffers of 64 KiB."""
    balance: str = ""
    """The peer's own word; empty: fewest requests in flight."""
    concurrency: int = 0
    """Requests in flight at one endpoint, where the peer can bound them."""


def pinfold(front: Front) -> str:
    """pinfold.toml."""
    log = '{ format = "json" }' if front.log else '{ format = "off" }'
    endpoints = ", ".join(f'"{endpoint}"' for endpoint in front.endpoints)
    return f"""
[listeners.front]
bind = "127.0.0.1:{front.port}"
limits = {{ connections_per_client = 10000 }}

[pools.web]
balance = "{front.balance or "least-requests"}"
concurrency = {front.concurrency}
queue = {{ timeout = "60s" }}
endpoints = [{endpoints}]

[daemon]
log_directory = "{front.directory}/log"
state_directory = "{front.directory}/state"
proxy_threads = {front.threads}
access_log = {log}
"""


def haproxy(front: Front) -> str:
    """haproxy.cfg; the log goes to a file by way of standard output, which costs less than syslog."""
    log, lines = ("log stdout format raw local0", "log global\n  option httplog") if front.log else ("", "")
    bound = f" maxconn {front.concurrency}" if front.concurrency else ""
    addresses = [endpoint.replace("unix:", "unix@") for endpoint in front.endpoints]
    endpoints = "\n".join(f"  server e{number} {address}{bound}" for number, address in enumerate(addresses))
    return f"""
global
  nbthread {front.threads}
  maxconn 8000
  {"tune.bufsize 65536" if front.tuned else ""}
  {log}
defaults
  mode http
  {lines}
  option forwardfor
  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout queue 60s
frontend front
  bind 127.0.0.1:{front.port}
  default_backend web
backend web
  balance {front.balance or "leastconn"}
{endpoints}
"""


def nginx(front: Front) -> str:
    """nginx.conf; connections are never closed for their age, and a body of 16 KiB does not go through a file."""
    log = f"{front.directory}/access.log combined buffer=64k flush=1s" if front.log else "off"
    endpoints = "\n    ".join(f"server {endpoint};" for endpoint in front.endpoints)
    temporary = "\n  ".join(
        f"{kind}_temp_path {front.directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
{"user root;" if os.geteuid() == 0 else ""}
worker_processes {front.threads};
daemon off;
pid {front.directory}/pid;
error_log {front.directory}/error.log;
events {{ worker_connections 8192; }}
http {{
  access_log {log};
  {temporary}
  tcp_nodelay on;
  keepalive_timeout 60s;
  keepalive_requests 1000000000;
  client_body_buffer_size 64k;
  {"proxy_buffer_size 64k; proxy_buffers 16 64k; proxy_busy_buffers_size 128k;" if front.tuned else ""}
  upstream web {{
    {front.balance or "least_conn"};
    {endpoints}
    keepalive 64;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{front.port};
    location / {{
      proxy_pass http://web;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
  }}
}}
"""


def apache(front: Front) -> str:
    """httpd.conf, with the event MPM; X-Forwarded-For is its default. Over TCP only."""
    parts = [
        "mpm_event",
        "authz_core",
        "proxy",
        "proxy_http",
        "proxy_balancer",
        "lbmethod_bybusyness",
        "slotmem_shm",
    ]
    modules = "\n".join(f"LoadModule {part}_module /usr/lib/apache2/modules/mod_{part}.so" for part in parts)
    members = "\n  ".join(f"BalancerMember http://{endpoint}" for endpoint in front.endpoints)
    log = f'CustomLog {front.directory}/access.log "%h %l %u %t \\"%r\\" %>s %b"' if front.log else ""
    return f"""
{modules}
ServerRoot {front.directory}
ServerName bench.example
{"User nobody" if os.geteuid() == 0 else ""}
{"Group nogroup" if os.geteuid() == 0 else ""}
PidFile {front.directory}/pid
LogLevel crit
ErrorLog {front.directory}/error.log
DefaultRuntimeDir {front.directory}
Listen 127.0.0.1:{front.port}
ServerLimit 1
StartServers 1
ThreadsPerChild 64
MaxRequestWorkers 64
MaxKeepAliveRequests 0
KeepAliveTimeout 60
{log}
<Proxy balancer://web>
  {members}
  ProxySet lbmethod=bybusyness
</Proxy>
ProxyPass / balancer://web/
"""


def caddy(front: Front) -> str:
    """Caddyfile; X-Forwarded-For is its default. Over TCP only."""
    log = f"log {{\n    output file {front.directory}/access.log\n  }}" if front.log else ""
    return f"""
{{
  admin off
  auto_https off
}}
http://:{front.port} {{
  bind 127.0.0.1
  {log}
  reverse_proxy {" ".join(front.endpoints)} {{
    lb_policy least_conn
  }}
}}
"""


def envoy(front: Front) -> str:
    """envoy.yaml. Over TCP only."""

    def socket(address: str) -> str:
        host, _, port = address.rpartition(":")
        return f"{{ socket_address: {{ address: {host}, port_value: {port} }} }}"

    log = f"""
          access_log:
          - name: file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: {front.directory}/access.log"""
    endpoints = "".join(f"\n          - endpoint: {{ address: {socket(endpoint)} }}" for endpoint in front.endpoints)
    return f"""
static_resources:
  listeners:
  - name: front
    address: {socket(f"127.0.0.1:{front.port}")}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          use_remote_address: true{log if front.log else ""}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{{ match: {{ prefix: "/" }}, route: {{ cluster: web }} }}]
          http_filters:
          - name: router
            typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
  clusters:
  - name: web
    type: STATIC
    lb_policy: LEAST_REQUEST
    load_assignment:
      cluster_name: web
      endpoints:
      - lb_endpoints:{endpoints}
"""
