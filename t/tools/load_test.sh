#!/bin/bash
# Loads the module into Debian's nginx with one of its directives: `nginx -t` in a directory of
# its own. Usage: load_test.sh MODULE
set -eu

module=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

cat > "$dir/nginx.conf" << END
load_module $module;
pid $dir/nginx.pid;
error_log stderr warn;
events {}
http {
    access_log off;
    client_body_temp_path $dir/body;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
    llm_provider mock {}
    llm_model mock { deployment mock/mock; }
    server {
        listen unix:$dir/socket;
        location / { llm_pass models; }
    }
}
END

PATH=$PATH:/usr/sbin
if ! output=$(nginx -t -q -e stderr -p "$dir/" -c "$dir/nginx.conf" 2>&1); then
    echo "$output" >&2
    echo "nginx does not load $module" >&2
    exit 1
fi
echo "Built ${module#"$PWD"/}, nginx loads it."
