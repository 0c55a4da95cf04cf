// A whole answer of Cohere's v2 chat -> ir::Response. What is no answer, and one that holds nothing
// but an error, is an error, so that the caller takes it for a failed attempt.
#include <unordered_set>
#include <utility>

#include "translators/dialect/cohere.hpp"
#include "translators/dialect/cohere_answer.hpp"

namespace llm::cohere {

namespace {

using json::Value;

class AnswerReader {
  public:
    AnswerReader(Value root, Arena &arena, ir::Choice &choice)
        : root_(root), arena_(arena), choice_(choice) {}

    void read();

  private:
    void read_content(Value content);
    void read_citations(Value citations);
    void read_call(Value call);
    void read_logprobs();

    Value root_;
    Arena &arena_;
    ir::Choice &choice_;
    std::vector<std::pair<int64_t, size_t>> texts_;  // index of the content block, of the part
    std::unordered_set<std::string_view> ids_;
    uint32_t next_call_ = 0;
};

void AnswerReader::read() {
    Value message = root_["message"];
    if (JsonText plan = message["tool_plan"].text(); !plan.empty()) {
        ir::Reasoning reasoning;
        reasoning.text = plan;
        reasoning.origin = DialectId::cohere;
        choice_.parts.push_back({reasoning});
    }
    read_content(message["content"]);
    read_citations(message["citations"]);
    for (Value call : message["tool_calls"].items()) {
        read_call(call);
    }
    read_logprobs();
    choice_.native_finish = root_["finish_reason"].text();
    choice_.finish = read_finish(choice_.native_finish, next_call_ > 0);
}

void AnswerReader::read_content(Value content) {
    if (JsonText text = content.text(); !text.empty()) {
        texts_.push_back({0, choice_.parts.size()});
        choice_.parts.push_back({ir::Text{text}});
    }
    int64_t index = 0;
    for (Value part : content.items()) {
        if (JsonText thinking = part["thinking"].text(); !thinking.empty()) {
            ir::Reasoning reasoning;
            reasoning.text = thinking;
            reasoning.origin = DialectId::cohere;
            choice_.parts.push_back({reasoning});
        } else if (JsonText text = part["text"].text(); !text.empty()) {
            texts_.push_back({index, choice_.parts.size()});
            choice_.parts.push_back({ir::Text{text}});
        }
        ++index;
    }
}

// Each text gets the citations of its block; those without a block are of the first text.
void AnswerReader::read_citations(Value citations) {
    for (size_t i = 0; i < texts_.size(); ++i) {
        auto [index, at] = texts_[i];
        ir::Text &text = *std::get_if<ir::Text>(&choice_.parts[at].is);
        ByteBuffer list;
        for (Value citation : citations.items()) {
            std::optional<int64_t> block = cited_block(citation);
            if (!block || !(*block == index || (*block < 0 && i == 0))) {
                continue;
            }
            list.append(list.size() == 0 ? '[' : ',');
            list.append(citation.raw().bytes);
            text.cited.push_back(read_citation(citation));
        }
        if (list.size() > 0) {
            list.append(']');
            text.citations = {arena_.copy(list.view())};
            text.citations_origin = DialectId::cohere;
        }
    }
}

void AnswerReader::read_call(Value call) {
    Value function = call["function"];
    ir::ToolCall result;
    result.name = function["name"].text();
    if (result.name.empty()) {
        return;
    }
    JsonText id = call["id"].text();
    bool is_usable = !id.empty() && ids_.insert(id.bytes).second;
    result.id = is_usable ? id : invent_call_id(root_["id"].text(), next_call_, arena_);
    ++next_call_;
    Value arguments = function["arguments"];
    if (arguments.is_string()) {
        result.arguments = json::unescape(arguments.text(), arena_);
    } else if (arguments.is_object()) {
        result.arguments = arguments.raw().bytes;
    }
    std::string_view text = result.arguments;
    size_t first = text.find_first_not_of(" \t\r\n");
    if (first == std::string_view::npos ||
        text.substr(first, text.find_last_not_of(" \t\r\n") + 1 - first) == "null") {
        result.arguments = "{}";  // of a tool without parameters
    }
    choice_.parts.push_back({result});
}

void AnswerReader::read_logprobs() {
    ByteBuffer entries;
    append_logprobs(root_["logprobs"], arena_, entries);
    if (entries.size() > 0) {
        std::string object = "{\"content\":[";
        object.append(entries.view()).append("],\"refusal\":null}");
        choice_.logprobs = {arena_.copy(object)};
    }
}

}  // namespace

Status parse_response(Value root, Arena &arena, ir::Response &response) {
    if (!root.is_object() || !root["message"].is_object()) {
        return Error{Errc::upstream_protocol, "not an answer of v2 chat", "message", 0};
    }
    response.id = root["id"].text();
    ir::Choice &choice = response.choices.emplace_back();
    AnswerReader(root, arena, choice).read();
    if (choice.finish == ir::Finish::error && choice.parts.empty()) {
        return Error{Errc::upstream_protocol, "the provider ended its answer with an error",
                     "finish_reason", 0};
    }
    read_usage(root["usage"], response.usage);
    return {};
}

}  // namespace llm::cohere
