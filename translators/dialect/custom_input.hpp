// Free text ("custom") tools between OpenAI's dialects, which have them, and the others. A provider
// that has none gets a function of one string, and its calls {"input": text}; see Notes and
// ClientView for which tools these are. A client that has none gets the call of such a tool in the
// same form.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "translators/dialect/dialect.hpp"

namespace llm {

// A free text tool that the provider knows as a function, by the client's name for it.
bool is_custom_tool(const ClientView &view, JsonText name);
// Its text; nothing where the arguments are something else. Lives as long as both parameters.
std::optional<JsonText> custom_input(std::string_view arguments, json::Reader &reader);

// The text out of arguments that come in fragments, each as soon as it is there.
class CustomInput {
  public:
    // Appends what of the text the next fragment has, escaped like it. False: more waits than is
    // good for the memory.
    bool feed(JsonText fragment, ByteBuffer &out);
    // Appends what is left. Arguments of another form are the text themselves, whole.
    void finish(json::Reader &reader, ByteBuffer &out);
    size_t waiting() const { return held_.size(); }

  private:
    enum class State : uint8_t { head, text, over, whole };

    void read_head();
    void read_text(ByteBuffer &out);

    State state_ = State::head;
    std::string cut_;   // of a fragment, escaped: half of a surrogate pair
    std::string held_;  // of the arguments: what nobody has seen
    Arena arena_;       // one fragment's
};

// The same the other way, for clients that know functions only: the events of a free text call as
// those of {"input": text}.
class CustomAsFunction {
  public:
    // Gives the event, or those in its place, to `next`.
    template <class Next>
    void pass(const ir::StreamEvent &event, Next &&next) {
        if (blocks_.empty() && !event.is_custom) {
            next(event);
            return;
        }
        auto block = std::find(blocks_.begin(), blocks_.end(), event.block);
        ir::StreamEvent delta = event;
        delta.kind = ir::EventKind::delta;
        switch (event.kind) {
            case ir::EventKind::open:
                next(event);
                if (!event.is_custom) {
                    return;
                }
                blocks_.push_back(event.block);
                delta.text = {R"({\"input\":\")"};
                next(delta);
                return;
            case ir::EventKind::delta:
                if (block != blocks_.end()) {
                    arena_.reset();
                    delta.text = json::escape(event.text.bytes, arena_);
                }
                next(delta);
                return;
            case ir::EventKind::close:
                if (block != blocks_.end()) {
                    blocks_.erase(block);
                    delta.text = {R"(\"})"};
                    next(delta);
                }
                next(event);
                return;
            default:
                next(event);
                return;
        }
    }

  private:
    std::vector<uint32_t> blocks_;  // the open ones
    Arena arena_;
};

}  // namespace llm
