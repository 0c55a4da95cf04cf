// ir::Request -> the body of POST /model/{model}/converse. What Converse has no member for and a
// model of Anthropic knows goes into additionalModelRequestFields, in that API's own words; so does
// what Nova and a few others call differently. Members are written in one fixed order, so that
// equal histories give equal bytes.
#include <utility>

#include "translators/dialect/anthropic_beta.hpp"
#include "translators/dialect/anthropic_plan.hpp"
#include "translators/dialect/anthropic_schema.hpp"
#include "translators/dialect/bedrock_render.hpp"

namespace llm::bedrock {

namespace {

using ir::ThinkingKind;

constexpr uint32_t kMaxMarks = 4;
constexpr uint32_t kMaxStops = 4;
constexpr size_t kMaxMetadata = 256;  // characters of a name or value
constexpr size_t kMaxMetadataItems = 16;

// An object that is only there with its first member.
class LazyObject {
  public:
    LazyObject(std::string_view name, json::Writer &writer) : name_(name), writer_(writer) {}

    json::Writer &open() {
        if (!is_open_) {
            writer_.key(name_).object();
            is_open_ = true;
        }
        return writer_;
    }

    void close() {
        if (is_open_) {
            writer_.end();
        }
    }

  private:
    std::string_view name_;
    json::Writer &writer_;
    bool is_open_ = false;
};

bool is_metadata(std::string_view text, bool may_be_empty) {
    constexpr std::string_view kOthers = " :_@$#=/+,-.";
    for (char c : text) {
        bool is_alphanumeric =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_alphanumeric && kOthers.find(c) == std::string_view::npos) {
            return false;
        }
    }
    return text.size() <= kMaxMetadata && (may_be_empty || !text.empty());
}

class Renderer {
  public:
    Renderer(const ir::Request &request, const Target &target, Arena &arena, json::Writer &writer,
             Notes &notes)
        : request_(request),
          target_(target),
          traits_(target.traits),
          arena_(arena),
          writer_(writer),
          notes_(notes),
          tools_(request, target, arena, notes) {}

    Status render() {
        LLM_TRY(anthropic::refuse_what_is_lacking(request_, target_, notes_));
        LLM_TRY(anthropic::note_extras(request_, target_, arena_, notes_));
        if (anthropic::whole_number_of(request_.max_tokens) == 0) {
            return invalid("must be at least 1", "max_tokens");
        }
        LLM_TRY(plan());

        writer_.object();
        prompt();
        inference();
        additional();
        output();
        caller();
        writer_.end();
        return {};
    }

    Status render_count() {
        LLM_TRY(plan());
        writer_.object().key("input").object().key("converse").object();
        prompt();
        writer_.end().end().end();
        return {};
    }

  private:
    Status plan() {
        LLM_TRY(tools_.select());
        const ir::OutputFormat &format = request_.output;
        has_schema_ = format.kind == ir::OutputKind::json_schema && is_set(format.schema);
        wants_object_ = format.kind != ir::OutputKind::text && !has_schema_;
        notes_.json_tool = has_schema_ && !traits_.structured_output;
        LLM_TRY(bedrock::build_history(request_, target_, arena_, notes_, history_));
        if (traits_.claude) {
            thinking_ = anthropic::plan_thinking(
                request_, traits_, tools_.is_forced() || history_.forbids_thinking, notes_);
        }
        plan_system();
        plan_marks();
        return {};
    }

    // What the cache keeps, in the order in which the service reads it: tools come from toolConfig
    // wherever it stands, and JSON has no order; ours is fixed.
    void prompt() {
        tools_.write(has_tool_blocks(history_), points_, writer_);
        system();
        writer_.key("messages");
        write_messages(history_, {request_, target_, arena_, notes_, points_}, writer_);
        if (is_set(request_.cache)) {
            notes_.drop("cache_control");
        }
    }

    void plan_system() {
        for (const ir::Text &text : request_.system) {
            if (!json::is_blank(text.text)) {
                system_.push_back(text);
            } else if (!system_.empty() && system_.back().cache.empty()) {
                system_.back().cache = text.cache;
            }
        }
        if (wants_object_) {
            system_.push_back({{anthropic::kJsonObjectLine}, {}, {}});
        }
        if (notes_.json_tool && (tools_.has_tools() || !tools_.is_forced())) {
            system_.push_back({{anthropic::kJsonToolLine}, {}, {}});
        }
    }

    void system() {
        if (system_.empty()) {
            return;
        }
        writer_.key("system").array();
        for (const ir::Text &text : system_) {
            writer_.object().key("text").text(text.text).end();
            points_.write(text.cache, writer_, notes_);
        }
        writer_.end();
    }

    // Only models with a prompt cache take its marks.
    void plan_marks() {
        bool is_old = target_.model.find("claude-3-5-haiku") != std::string_view::npos ||
                      target_.model.find("claude-3-5-sonnet-20241022") != std::string_view::npos;
        points_.is_known = traits_.nova || (traits_.claude && (traits_.thinking || is_old));
        points_.has_ttl = traits_.claude && anthropic::takes_cache_ttl(target_);
        uint32_t count = bedrock::count_marks(history_) + tools_.mark_count();
        for (const ir::Text &text : system_) {
            count += text.cache.empty() ? 0 : 1;
        }
        points_.skip = count > kMaxMarks ? count - kMaxMarks : 0;
    }

    void inference() {
        LazyObject config("inferenceConfig", writer_);
        bool has_budget = thinking_.send == anthropic::ThinkingPlan::Send::enabled;
        if (is_set(request_.max_tokens)) {
            config.open().key("maxTokens").raw(request_.max_tokens);
        } else if (has_budget) {
            config.open().key("maxTokens").number(thinking_.max_tokens);
        }
        sampling_ = anthropic::plan_sampling(request_, traits_, thinking_.is_on(), notes_);
        for (auto [name, value] :
             {std::pair("temperature", sampling_.temperature), {"topP", sampling_.top_p}}) {
            if (!value.empty()) {
                config.open().key(name).raw(value);
            }
        }
        uint32_t stops = 0;
        for (JsonText sequence : request_.stop) {
            if (json::is_blank(sequence) || stops == kMaxStops) {
                if (!sequence.empty()) {
                    notes_.drop(is_messages() ? "stop_sequences" : "stop");
                }
                continue;
            }
            if (stops++ == 0) {
                config.open().key("stopSequences").array();
            }
            writer_.text(sequence);
        }
        if (stops > 0) {
            writer_.end();
        }
        config.close();
    }

    bool is_messages() const { return request_.dialect == DialectId::anthropic; }

    void additional() {
        LazyObject fields("additionalModelRequestFields", writer_);
        if (traits_.claude) {
            claude_fields(fields);
        } else {
            other_fields(fields);
        }
        fields.close();
    }

    void claude_fields(LazyObject &fields) {
        if (thinking_.send != anthropic::ThinkingPlan::Send::nothing) {
            anthropic::write_thinking(thinking_, request_, fields.open());
        }
        if (thinking_.effort) {
            fields.open().key("output_config").object().key("effort");
            writer_.plain(anthropic::effort_name(*thinking_.effort, traits_.effort_xhigh)).end();
        }
        if (!sampling_.top_k.empty()) {
            fields.open().key("top_k").raw(sampling_.top_k);
        }
        if (!target_.beta_flags.empty()) {
            Target carrier = target_;
            carrier.carrier = Carrier::bedrock;
            anthropic::write_beta_flags(carrier, fields.open());
        }
        if (!tools_.built_in().empty()) {
            fields.open().key("tools").array();
            for (const ir::Tool *tool : tools_.built_in()) {
                writer_.raw(tool->raw);
            }
            writer_.end();
        }
    }

    void other_fields(LazyObject &fields) {
        if (!sampling_.top_k.empty()) {
            if (traits_.nova) {
                fields.open().key("inferenceConfig").object().key("topK");
                writer_.raw(sampling_.top_k).end();
            } else {
                fields.open().key("top_k").raw(sampling_.top_k);
            }
        }
        std::optional<std::string_view> effort = wanted_effort();
        if (!effort) {
            return;
        }
        bool has_effort = target_.model.find("gpt-oss") != std::string_view::npos ||
                          target_.model.find("deepseek") != std::string_view::npos;
        if (has_effort) {
            fields.open().key("reasoning_effort").plain(*effort);
        } else if (target_.model.find("nova-2") != std::string_view::npos) {
            fields.open().key("reasoningConfig").object().key("type").plain("enabled");
            writer_.key("maxReasoningEffort").plain(*effort).end();
        } else {
            anthropic::drop_thinking(request_, notes_);
        }
    }

    // low, medium or high; nothing where no thinking was asked for.
    std::optional<std::string_view> wanted_effort() const {
        const ir::Thinking &wish = request_.thinking;
        bool is_off = wish.kind == ThinkingKind::unset || wish.kind == ThinkingKind::off ||
                      (wish.kind == ThinkingKind::budget && wish.budget == 0) ||
                      wish.effort == ir::Effort::none;
        if (is_off) {
            return std::nullopt;
        }
        ir::Effort effort = wish.effort.value_or(ir::Effort::medium);
        if (!wish.effort && wish.kind == ThinkingKind::budget) {
            effort = effort_of_budget(wish.budget);
        }
        return anthropic::effort_name(effort > ir::Effort::high ? ir::Effort::high : effort, false);
    }

    void output() {
        if (!has_schema_ || notes_.json_tool) {
            return;
        }
        const ir::OutputFormat &format = request_.output;
        RawJson schema = format.schema;
        Result<json::Value> parsed = reader_.parse_unpadded(schema.bytes);
        if (parsed && !is_messages()) {
            schema = anthropic::rewrite_schema(*parsed, {}, arena_);
        }
        writer_.key("outputConfig").object().key("textFormat").object();
        writer_.key("type").plain("json_schema").key("structure").object();
        writer_.key("jsonSchema").object().key("schema").plain(schema.bytes);
        if (!format.name.empty()) {
            writer_.key("name").text(format.name);
        }
        if (!format.description.empty()) {
            writer_.key("description").text(format.description);
        }
        writer_.end().end().end().end();
    }

    // Who asks, and how urgently.
    void caller() {
        LazyObject metadata("requestMetadata", writer_);
        if (!request_.user.empty()) {
            std::string_view user = json::unescape(request_.user, arena_);
            if (is_metadata(user, true)) {
                metadata.open().key("user_id").plain(user);
            } else {
                notes_.drop(is_messages() ? "metadata" : "user");
            }
        }
        if (!is_messages() && is_set(request_.metadata)) {
            client_metadata(metadata);
        }
        metadata.close();

        JsonText tier = request_.service_tier;
        for (std::string_view known : {"default", "flex", "priority"}) {
            if (!is_messages() && json::equals(tier, known)) {
                writer_.key("serviceTier").object().key("type").plain(known).end();
                return;
            }
        }
        if (!tier.empty() && !json::equals(tier, "auto")) {
            notes_.drop("service_tier");
        }
    }

    void client_metadata(LazyObject &metadata) {
        Result<json::Value> given = reader_.parse_unpadded(request_.metadata.bytes);
        if (!given) {
            return;
        }
        size_t count = request_.user.empty() ? 0 : 1;
        for (auto [key, value] : given->members()) {
            std::string_view name = json::unescape(key, arena_);
            std::string_view text = json::unescape(value.text(), arena_);
            bool can_say = value.is_string() && is_metadata(name, false) &&
                           is_metadata(text, true) && name != "user_id";
            if (!can_say || ++count > kMaxMetadataItems) {
                notes_.drop("metadata");
                continue;
            }
            metadata.open().key(JsonText{name}).plain(text);
        }
    }

    const ir::Request &request_;
    const Target &target_;
    const ModelTraits &traits_;
    Arena &arena_;
    json::Writer &writer_;
    Notes &notes_;

    json::Reader reader_;
    anthropic::History history_;
    ToolConfig tools_;
    CachePoints points_;
    std::vector<ir::Text> system_;
    anthropic::ThinkingPlan thinking_;
    anthropic::Sampling sampling_;
    bool has_schema_ = false;
    bool wants_object_ = false;
};

}  // namespace

Status render_request(const ir::Request &request, const Target &target, Arena &arena,
                      json::Writer &writer, Notes &notes) {
    return Renderer(request, target, arena, writer, notes).render();
}

Status render_count(const ir::Request &request, const Target &target, Arena &arena,
                    json::Writer &writer, Notes &notes) {
    return Renderer(request, target, arena, writer, notes).render_count();
}

std::optional<int64_t> parse_count(json::Value root) {
    std::optional<int64_t> tokens = root.find("inputTokens").as_int();
    return tokens && *tokens >= 0 ? tokens : std::nullopt;
}

}  // namespace llm::bedrock
