#!/bin/bash
# The gateway of `make run` and `make stop`: nginx as a daemon in build/run.
# Usage: run.sh start|stop. Environment: HOST, PORT, and the providers' keys.
# Started again it reloads; it restarts where a reload is not enough: another module (nginx keeps
# the code it has loaded) or other keys (a process keeps the environment it started with).
set -eu
cd "$(dirname "$0")/../.."
PATH=$PATH:/usr/sbin

root=$PWD
dir=$root/build/run
module=$dir/ngx_http_llm_module.so
built=$root/build/deb/ngx_http_llm_module.so
host=${HOST:-127.0.0.1}
port=${PORT:-4000}

# The process id of our nginx, or nothing.
running() {
    local pid
    pid=$(cat "$dir/nginx.pid" 2>/dev/null) || return 0
    if [ -n "$pid" ] && grep -qs "nginx: master process.*$dir/" "/proc/$pid/cmdline"; then
        echo "$pid"
    fi
}

stop() {
    local pid tries=0
    pid=$(running)
    if [ -z "$pid" ]; then
        return
    fi
    kill -QUIT "$pid"
    while [ -n "$(running)" ]; do
        # Streams may go on for long: the second signal does not wait for them.
        tries=$((tries + 1))
        if [ $tries = 50 ]; then
            kill -TERM "$pid" 2>/dev/null || true
        fi
        sleep 0.1
    done
}

# The same keys as the running nginx has?
same_keys() {
    local name
    for name in OPENAI_API_KEY ANTHROPIC_API_KEY; do
        if [ "$(tr '\0' '\n' < "/proc/$1/environ" | sed -n "s/^$name=//p")" != "${!name:-}" ]; then
            return 1
        fi
    done
}

write_config() {
    local user='' listen_v6='' connections
    # Both sides of a request need one, and each a file: no more than the user may have open.
    connections=$(ulimit -n)
    if [ "$connections" = unlimited ] || [ "$connections" -gt 4096 ]; then
        connections=4096
    fi
    if [ "$(id -u)" = 0 ]; then
        user='user www-data;'
    fi
    # What "localhost" means to a client may be either.
    if [ "$host" = 127.0.0.1 ] && grep -qs '^0*1 ' /proc/net/if_inet6; then
        listen_v6="listen [::1]:$port;"
    fi

    cat << END
load_module $module;
$user
worker_processes auto;
pid $dir/nginx.pid;
error_log $dir/error.log info;
events { worker_connections $connections; }
http {
    client_body_temp_path $dir/temp/body;
    proxy_temp_path $dir/temp/proxy;
    fastcgi_temp_path $dir/temp/fastcgi;
    uwsgi_temp_path $dir/temp/uwsgi;
    scgi_temp_path $dir/temp/scgi;

    log_format llm escape=json
        '{"time":"\$time_iso8601","id":"\$llm_request_id","status":\$status,"model":"\$llm_model",'
        '"provider":"\$llm_provider","outcome":"\$llm_outcome","in":\$llm_input_tokens,'
        '"out":\$llm_output_tokens,"first_token":\$llm_first_token_time}';
    access_log $dir/access.log llm;

    llm_provider mock {}
    llm_model mock { deployment mock/mock; }
END
    if [ -n "${OPENAI_API_KEY:-}" ]; then
        cat << 'END'

    llm_provider openai { api_key env:OPENAI_API_KEY; }
    llm_model gpt-4o { deployment openai/gpt-4o; }
    llm_model gpt-4o-mini { deployment openai/gpt-4o-mini; }
    llm_model openai/* { deployment openai/*; }
END
    fi
    if [ -n "${ANTHROPIC_API_KEY:-}" ]; then
        cat << 'END'

    llm_provider anthropic { api_key env:ANTHROPIC_API_KEY; }
    llm_model claude-sonnet { deployment anthropic/claude-sonnet-4-5; }
    llm_model anthropic/* { deployment anthropic/*; }
END
    fi
    cat << END

    server {
        listen $host:$port;
        $listen_v6
        location / { llm_pass models; }
    }
}
END
}

start() {
    local pid action=Started tries=0
    mkdir -p "$dir/temp"
    write_config > "$dir/nginx.conf.new"

    pid=$(running)
    if [ -n "$pid" ] && { ! cmp -s "$built" "$module" || ! same_keys "$pid"; }; then
        stop
        pid=
        action=Restarted
    fi
    # A copy: building does not disturb the gateway.
    if ! cmp -s "$built" "$module"; then
        cp "$built" "$module"
    fi
    mv "$dir/nginx.conf.new" "$dir/nginx.conf"

    nginx -t -q -e stderr -p "$dir/" -c "$dir/nginx.conf"
    if [ -n "$pid" ]; then
        kill -HUP "$pid"
        action=Reloaded
    else
        nginx -e stderr -p "$dir/" -c "$dir/nginx.conf"
    fi

    address=$host
    if [ "$host" = 0.0.0.0 ] || [ "$host" = '*' ]; then
        address=127.0.0.1
    fi
    url=http://$address:$port
    until curl -fsS -o "$dir/ready" "$url/health/readiness" 2>"$dir/ready.error"; do
        tries=$((tries + 1))
        if [ $tries = 50 ]; then
            cat "$dir/ready.error" >&2
            tail -5 "$dir/error.log" >&2
            exit 1
        fi
        sleep 0.1
    done
    print_summary "$action" "$url"
}

print_summary() {
    local models=mock
    if [ -n "${OPENAI_API_KEY:-}" ]; then
        models="$models, gpt-4o, gpt-4o-mini, openai/*"
    fi
    if [ -n "${ANTHROPIC_API_KEY:-}" ]; then
        models="$models, claude-sonnet, anthropic/*"
    fi
    cat << END
$1. The gateway answers on $2
Models: $models

Try it:
  curl $2/v1/chat/completions -H 'Content-Type: application/json' \\
       -d '{"model":"mock","messages":[{"role":"user","content":"Hello"}]}'
  curl -N $2/v1/chat/completions -H 'Content-Type: application/json' \\
       -d '{"model":"mock","stream":true,"messages":[{"role":"user","content":"Hello"}]}'
  curl $2/v1/messages -H 'Content-Type: application/json' -H 'anthropic-version: 2023-06-01' \\
       -d '{"model":"mock","max_tokens":100,"messages":[{"role":"user","content":"Hello"}]}'
  curl -N $2/v1/messages -H 'Content-Type: application/json' -H 'anthropic-version: 2023-06-01' \\
       -d '{"model":"mock","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"Hello"}]}'
  curl -N $2/v1/responses -H 'Content-Type: application/json' \\
       -d '{"model":"mock","stream":true,"input":"Hello"}'
  curl -N "$2/v1beta/models/mock:streamGenerateContent?alt=sse" -H 'Content-Type: application/json' \\
       -d '{"contents":[{"parts":[{"text":"Hello"}]}]}'

Configuration and logs: build/run (nginx.conf, access.log, error.log). Stop it: make stop
END
    if [ "$models" = mock ]; then
        echo "With OPENAI_API_KEY or ANTHROPIC_API_KEY in the environment, make run serves those too."
    fi
}

case ${1:-} in
start) start ;;
stop) stop ;;
*) echo "usage: run.sh start|stop" >&2; exit 2 ;;
esac
