// Pass-through of a messages request: the client's own bytes with another model. One thing more is
// taken out: thinking blocks without a signature. A client has them from an answer of a provider
// that signs nothing (an earlier turn went elsewhere), and the API refuses the whole conversation
// for one of them. Signed blocks stay as they are, byte for byte.
#include <algorithm>

#include "translators/dialect/anthropic.hpp"

namespace llm::anthropic {

namespace {

bool is_unsigned_thinking(json::Value block) {
    return block.find("type").equals("thinking") && block.find("signature").text().empty();
}

// The blocks of one turn without the unsigned ones; a turn may not be empty.
std::string without_unsigned(json::Value content) {
    std::string kept = "[";
    for (json::Value block : content.items()) {
        if (!is_unsigned_thinking(block)) {
            kept.append(kept.size() > 1 ? "," : "").append(block.raw().bytes);
        }
    }
    if (kept.size() == 1) {
        kept.append(R"x({"type":"text","text":"(empty)"})x");
    }
    return kept.append("]");
}

void drop_unsigned_thinking(json::Value messages, std::vector<Edit> &edits) {
    for (json::Value message : messages.items()) {
        json::Value content = message.find("content");
        for (json::Value block : content.items()) {
            if (is_unsigned_thinking(block)) {
                uint32_t begin = content.offset();
                uint32_t size = static_cast<uint32_t>(content.raw().bytes.size());
                edits.push_back({begin, begin + size, without_unsigned(content)});
                break;
            }
        }
    }
}

}  // namespace

Status splice_request(json::Value root, const Envelope &, const Target &target,
                      std::vector<Edit> &edits) {
    json::Value model = root.find("model");
    if (!model.is_string()) {
        return invalid("must be a string", "model");
    }
    if (!model.equals(target.model)) {
        ByteBuffer name;
        json::Writer(name).plain(target.model);
        uint32_t begin = model.offset();
        uint32_t size = static_cast<uint32_t>(model.raw().bytes.size());
        edits.push_back({begin, begin + size, std::string(name.view())});
    }
    drop_unsigned_thinking(root.find("messages"), edits);
    std::sort(edits.begin(), edits.end(),
              [](const Edit &a, const Edit &b) { return a.begin < b.begin; });
    return {};
}

}  // namespace llm::anthropic
