"""The daemon: joins config, certificates, proxy, programs and control API; the only place that knows all of them."""
