// Pass-through: the few edits that a chat body needs on its way to a chat provider.
//
// Entry point: splice_request. The model gets the provider's name, and a stream is asked for its
// usage where the client did not; every other byte stays what it was, unless the service would
// refuse it (ModelTraits): then single members get another name or value, or are taken out. What
// is done to the messages is in openai_splice_messages.cpp.
#include <algorithm>

#include "translators/dialect/chat_parameters.hpp"
#include "translators/dialect/openai_edits.hpp"

namespace llm::openai {

namespace {

class Splice {
  public:
    Splice(json::Value root, const Envelope &envelope, const Target &target,
           std::vector<Edit> &edits, Notes &notes)
        : root_(root),
          envelope_(envelope),
          target_(target),
          traits_(target.traits),
          out_(edits),
          notes_(notes) {}

    Status run() {
        json::Value model = root_["model"];
        if (!model.is_string()) {
            return invalid("model must be a string", "model");
        }
        if (!model.equals(target_.model)) {
            ByteBuffer name;
            json::Writer(name).plain(target_.model);
            out_.replace(model, std::string(name.view()));
        }
        std::vector<std::string_view> removed;
        stream_options(removed);
        limit(removed);
        thinking(removed);
        if (traits_.mistral && !is_refused(chat_parameters("seed"))) {
            out_.rename(root_, "seed", "random_seed");
        }
        LLM_TRY(tools());
        LLM_TRY(refuse(removed));
        splice_messages(root_["messages"], traits_, out_);
        out_.remove(root_, removed);
        return {};
    }

  private:
    // It is taken out whole, and nothing else may be done to it.
    bool is_refused(uint32_t parameter) const { return (traits_.refuses & parameter) != 0; }

    void stream_options(std::vector<std::string_view> &removed) {
        if (traits_.no_stream_options || traits_.mistral) {
            removed.push_back("stream_options");
        } else if (envelope_.stream && !envelope_.usage_wanted) {
            ask_for_usage();
        }
    }

    void ask_for_usage() {
        json::Value options = root_["stream_options"];
        if (options.absent()) {
            out_.insert(root_, "\"stream_options\":{\"include_usage\":true}");
        } else if (options.is_null()) {
            out_.replace(options, "{\"include_usage\":true}");
        } else if (options.is_object()) {
            json::Value wish = options["include_usage"];
            if (wish.absent()) {
                out_.insert(options, "\"include_usage\":true");
            } else {
                out_.replace(wish, "true");
            }
        }
    }

    // The limit has two names. Most services know both: only those are helped that would refuse
    // the client's, or overlook it. The newer name wins where both are given.
    void limit(std::vector<std::string_view> &removed) {
        constexpr std::string_view kOld = "max_tokens";
        constexpr std::string_view kNew = "max_completion_tokens";
        bool refuses_old =
            traits_.max_completion_tokens && (traits_.is_reasoning || !traits_.service_tier);
        bool refuses_new =
            !traits_.max_completion_tokens &&
            (traits_.strict_members || traits_.mistral || traits_.wants_reasoning_content ||
             traits_.thinking_switch || traits_.enable_thinking);
        if (refuses_old && !root_[kOld].is_unset()) {
            if (root_[kNew].is_unset()) {
                out_.rename(root_, kOld, kNew);
            } else {
                removed.push_back(kOld);
            }
        } else if (refuses_new && !root_[kNew].is_unset()) {
            if (!root_[kOld].absent()) {
                removed.push_back(kOld);
            }
            out_.rename(root_, kNew, kOld);
        }
    }

    // One switch, and nothing beside it that contradicts it.
    void thinking(std::vector<std::string_view> &removed) {
        if (!traits_.thinking_switch && !traits_.enable_thinking) {
            return;
        }
        json::Value effort = root_["reasoning_effort"];
        if (!effort.is_string() || is_refused(chat_parameters("reasoning_effort"))) {
            return;
        }
        std::string_view name = traits_.enable_thinking ? "enable_thinking" : "thinking";
        if (!root_[name].absent()) {
            removed.push_back("reasoning_effort");
            return;
        }
        bool is_on = !effort.equals("none");
        out_.rename(root_, "reasoning_effort", name);
        if (traits_.enable_thinking) {
            out_.replace(effort, is_on ? "true" : "false");
        } else {
            out_.replace(effort, is_on ? R"({"type":"enabled"})" : R"({"type":"disabled"})");
        }
    }

    Status tools() {
        if (traits_.no_strict_tools && !is_refused(chat_parameters("tools"))) {
            for (json::Value tool : root_["tools"].items()) {
                out_.remove(tool["function"], {"strict"});
            }
        }
        if (is_refused(chat_parameters("tool_choice")) ||
            (!traits_.no_tool_choice_required && !traits_.mistral)) {
            return {};
        }
        json::Value choice = root_["tool_choice"];
        bool is_required = choice.equals("required") || choice.equals("any");
        if (traits_.no_tool_choice_required && (is_required || choice.is_object())) {
            if (!target_.drop_params) {
                return unsupported("this service cannot be told to call a tool", "tool_choice");
            }
            out_.replace(choice, "\"auto\"");
        } else if (traits_.mistral && choice.equals("required")) {
            out_.replace(choice, "\"any\"");
        }
        return {};
    }

    // What the service takes in no form, or only up to a value.
    Status refuse(std::vector<std::string_view> &removed) {
        uint32_t bit = 1;
        for (const ChatParameter &parameter : kChatParameters) {
            json::Value value = is_refused(bit) ? root_[parameter.name] : json::Value();
            if (!value.absent()) {
                bool is_usual = is_usual_value(parameter.name, value);
                if (!is_usual && !parameter.is_hint && !target_.drop_params) {
                    return unsupported("this service takes no such parameter", parameter.name);
                }
                removed.push_back(parameter.name);
                if (!is_usual) {
                    notes_.drop(parameter.name);
                }
            }
            bit <<= 1;
        }
        if (traits_.temperature_max.empty() || is_refused(chat_parameters("temperature"))) {
            return {};
        }
        json::Value temperature = root_["temperature"];
        if (is_above(temperature.raw(), traits_.temperature_max)) {
            notes_.drop("temperature");
            out_.replace(temperature, std::string(traits_.temperature_max));
        }
        return {};
    }

    json::Value root_;
    const Envelope &envelope_;
    const Target &target_;
    const ModelTraits &traits_;
    Edits out_;
    Notes &notes_;
};

}  // namespace

Status splice_request(json::Value root, const Envelope &envelope, const Target &target,
                      std::vector<Edit> &edits, Notes &notes) {
    size_t first = edits.size();
    LLM_TRY(Splice(root, envelope, target, edits, notes).run());
    // What is inserted at a place comes before what is taken out from there on.
    std::stable_sort(edits.begin() + static_cast<std::ptrdiff_t>(first), edits.end(),
                     [](const Edit &a, const Edit &b) {
                         return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
                     });
    return {};
}

}  // namespace llm::openai
