// URLs, redirections and answers of Redis: no input may crash, and an answer means the same however
// its bytes are cut.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "ngx_llm_module/conf/redis_url.hpp"
#include "ngx_llm_module/redis/resp.hpp"
#include "ngx_llm_module/redis/slots.hpp"

namespace {

using namespace llm;

void print(const RedisReply &reply, std::string &out, int depth) {
    out.append(std::to_string(reply.size())).append(reply.is_error() ? "!" : ".");
    out.append(std::to_string(reply.integer())).append(reply.text());
    for (size_t i = 0; i < reply.size() && depth < 16; i++) {
        print(reply[i], out, depth + 1);
    }
}

std::string read_in_pieces(std::string_view bytes, size_t piece) {
    RespReader reader;
    std::string out;
    for (size_t at = 0; at < bytes.size(); at += piece) {
        if (!reader.feed(bytes.substr(at, piece))) {
            break;
        }
        while (reader.next()) {
            print(reader.reply(), out, 0);
            (void)parse_redirect(reader.reply().text());
        }
    }
    return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    std::string_view bytes(reinterpret_cast<const char *>(data), size);
    if (read_in_pieces(bytes, size + 1) != read_in_pieces(bytes, 1)) {
        abort();
    }
    (void)parse_redirect(bytes);
    (void)slot_of(bytes);
    RedisUrl url;
    if (parse_redis_url(bytes, url) == nullptr && url.host.empty()) {
        abort();
    }
    return 0;
}
