// Pass-through of a Gemini request: the model stands in the path, so the body goes on as it is (the
// counter's may name it once more).
// But for signatures that another dialect's provider made (an earlier turn went elsewhere): Google
// refuses a whole conversation for one of them, and takes a documented placeholder in its stead.
#include <algorithm>
#include <string>
#include <vector>

#include "translators/dialect/gemini.hpp"
#include "translators/dialect/gemini_request.hpp"

namespace llm::gemini {

Status splice_request(json::Value root, const Envelope &, const Target &target,
                      std::vector<Edit> &edits, Notes &) {
    Arena arena;
    json::Value wrapped = member(root, "generateContentRequest");
    if (json::Value model = member(wrapped, "model"); model.is_string()) {
        std::string name = "\"models/";
        name.append(json::escape(target.model, arena).bytes).append("\"");
        edits.push_back({model.offset(),
                         model.offset() + static_cast<uint32_t>(model.raw().bytes.size()),
                         std::move(name)});
    }
    json::Value contents = (wrapped.is_object() ? wrapped : root).find("contents");
    for (json::Value content : contents.items()) {
        for (json::Value part : content.find("parts").items()) {
            json::Value signature = member(part, "thoughtSignature");
            if (!signature.is_string() ||
                !(target.without_reasoning || is_foreign_signature(signature.text(), arena))) {
                continue;
            }
            uint32_t begin = signature.offset();
            uint32_t size = static_cast<uint32_t>(signature.raw().bytes.size());
            edits.push_back({begin, begin + size, "\"skip_thought_signature_validator\""});
            arena.reset();
        }
    }
    std::sort(edits.begin(), edits.end(),
              [](const Edit &one, const Edit &other) { return one.begin < other.begin; });
    return {};
}

}  // namespace llm::gemini
