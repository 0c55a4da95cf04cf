// Which store counts: Redis where there is one, else the shared zone.
#include "ngx_llm_module/policy/limit_store.hpp"

#include "ngx_llm_module/policy/redis_store.hpp"
#include "ngx_llm_module/policy/zone_store.hpp"

namespace llm {
namespace {

LimitStore *current = nullptr;

}  // namespace

void start_limits(const Config &config) {
    stop_limits();
    if (RedisClient *client = redis()) {
        current = new RedisStore(config, *client);
    } else {
        current = new ZoneStore(config);
    }
}

void stop_limits() {
    delete current;
    current = nullptr;
}

LimitStore &limit_store() {
    return *current;
}

}  // namespace llm
