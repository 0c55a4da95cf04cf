// One command to Redis and what its sender is told. Lives on the heap, not in a request's pool: an
// answer may come when its request is gone. Whoever sends one for a request keeps a pointer in it
// and clears it when the request ends.
#pragma once

#include "ngx_llm_module/base/ngx_cxx.hpp"
#include "ngx_llm_module/redis/resp.hpp"
#include "ngx_llm_module/redis/scripts.hpp"

namespace llm {

enum class RedisLoss : uint8_t {
    unsent,   // Redis has not done it
    unknown,  // it may have
};

class RedisCommand {
  public:
    virtual ~RedisCommand() = default;
    RedisCommand() = default;
    RedisCommand(const RedisCommand &) = delete;
    RedisCommand &operator=(const RedisCommand &) = delete;

    // Either of the two, once. Errors of Redis are answers, but for redirections and the like.
    virtual void on_reply(const RedisReply &reply) = 0;
    virtual void on_lost(RedisLoss loss) = 0;

    RespArgs args;  // for a script: what follows its name (number of keys, keys, arguments)
    const RedisScript *script = nullptr;
    uint16_t slot = 0;  // of its keys, in a cluster
    // Since when somebody waits for it; 0: since it is sent.
    ngx_msec_t began = 0;

  private:
    friend class RedisConnection;
    friend class RedisNode;
    friend class RedisClient;

    uint8_t redirects_ = 0;
    bool is_asking_ = false;
    bool has_text_ = false;  // Redis did not know the script: its text goes along
};

}  // namespace llm
