// OpenRouter's reasoning_details: from its answers to clients of every dialect and back to it, all
// of it; to nobody else.
#include "t/unit/openai_testing.hpp"

namespace llm::openai_testing {
namespace {

using Lines = std::vector<std::string>;

constexpr std::string_view kHidden =
    R"({\"type\":\"reasoning.encrypted\",\"data\":\"D\",\"id\":\"rs_1\",\"index\":1})";

std::string details(std::string_view list) {
    return R"("reasoning_details":[)" + std::string(list) + "]";
}

// As recorded: the text in pieces in both members, then the signature alone.
std::string recorded() {
    auto piece = [](std::string_view text) {
        return delta(R"("content":"","reasoning":")" + std::string(text) + R"(",)" +
                     details(R"({"type":"reasoning.text","text":")" + std::string(text) +
                             R"(","format":"anthropic-claude-v1","index":0})"));
    };
    return stream_of(
        {piece("H"), piece("m"),
         delta(R"("content":"",)" + details(R"({"type":"reasoning.text","signature":"S+/=",)"
                                            R"("format":"anthropic-claude-v1","index":0})")),
         delta(details(R"({"type":"reasoning.encrypted","data":"D","id":"rs_1","index":1})")),
         delta(R"("content":"Hi")"), delta("", R"("stop")")});
}

TEST(ReasoningDetails, Case38_AStreamGivesTheMarkBehindTheText) {
    EXPECT_EQ(decode(recorded()),
              (Lines{"start a m", "open 0 reasoning", "delta 0 H", "delta 0 m",
                     R"(signature 0 {\"type\":\"reasoning.text\",\"format\":)"
                     R"(\"anthropic-claude-v1\",\"index\":0,\"signature\":\"S+/=\"})",
                     "close 0", "redacted 1 " + std::string(kHidden), "open 2 text", "delta 2 Hi",
                     "close 2", "finish stop (stop)", "end"}));
}

TEST(ReasoningDetails, AnotherDetailIsAnotherBlock) {
    auto text = [](std::string_view name, std::string_view index, std::string_view more) {
        return delta(details(R"({"type":"reasoning.)" + std::string(name) + R"(",")" +
                             std::string(name) + R"(":"x","index":)" + std::string(index) +
                             std::string(more) + "}"));
    };
    auto blocks = [](const Lines &lines) {
        return std::count_if(lines.begin(), lines.end(),
                             [](const std::string &line) { return line.starts_with("open "); });
    };
    std::string end = delta("", R"("stop")");
    EXPECT_EQ(blocks(decode(stream_of({text("text", "0", ""), text("text", "0", ""), end}))), 1);
    EXPECT_EQ(blocks(decode(stream_of({text("text", "0", ""), text("text", "1", ""), end}))), 2);
    EXPECT_EQ(blocks(decode(stream_of({text("text", "0", ""), text("summary", "0", ""), end}))), 2);
    // A signature holds for the text before it.
    EXPECT_EQ(blocks(decode(stream_of(
                  {text("text", "0", R"(,"signature":"S")"), text("text", "0", ""), end}))),
              2);
    // Members that are null say nothing new.
    Lines lines = decode(stream_of({text("text", "0", R"(,"signature":"S")"),
                                    delta(details(R"({"index":0,"signature":null})")), end}));
    EXPECT_EQ(blocks(lines), 1);
    EXPECT_NE(lines[3].find(R"(\"signature\":\"S\")"), std::string::npos) << lines[3];
}

// As Vercel's gateway streams them.
TEST(ReasoningDetails, MembersThatAreNotKnownYetAreEmptyOrNull) {
    for (std::string none : {"\"\"", "null"}) {
        auto piece = [&](std::string_view text, const std::string &signature) {
            return delta(details(R"({"type":"reasoning.text","text":")" + std::string(text) +
                                 R"(","signature":)" + signature + R"(,"id":)" + none +
                                 R"(,"index":0})"));
        };
        Lines lines = decode(stream_of({piece("H", none), piece("m", none), piece("", none),
                                        piece("", R"("S")"), delta("", R"("stop")")}));
        std::string id = none == "null" ? "null" : R"(\"\")";
        EXPECT_EQ(lines, (Lines{"start a m", "open 0 reasoning", "delta 0 H", "delta 0 m",
                                R"(signature 0 {\"type\":\"reasoning.text\",\"signature\":\"S\",)"
                                R"(\"id\":)" +
                                    id + R"(,\"index\":0})",
                                "close 0", "finish stop (stop)", "end"}));
    }
}

TEST(ReasoningDetails, TextWithoutAMarkHasNone) {
    EXPECT_EQ(decode(stream_of({delta(details(R"({"text":"Hm"})")), delta("", R"("stop")")})),
              (Lines{"start a m", "open 0 reasoning", "delta 0 Hm", "close 0", "finish stop (stop)",
                     "end"}));
}

TEST(ReasoningDetails, TooLargeAMarkIsAFailureAndNoMemory) {
    std::string data(5u << 20, 'x');
    Lines lines = decode_pieces(
        {stream_of({delta(details(R"({"signature":")" + data + R"("})")), delta("", "\"stop\"")})});
    EXPECT_EQ(lines.back(), "error upstream_protocol");
}

// --- there and back -------------------------------------------------------------------------

constexpr std::string_view kGiven =
    R"([{"type":"reasoning.text","text":"Hm \"x\" \u00e9","format":"anthropic-claude-v1",)"
    R"("index":0,"signature":"S+/="},{"type":"reasoning.summary","summary":"So","index":1},)"
    R"({"type":"reasoning.encrypted","data":"D==","format":"xai-responses-v1","id":"rs_1",)"
    R"("index":2,"more":{"a":[1.0,null]}}])";

// What the provider answered, as this client has it in its next request: a chat body, its own
// dialect's turn of the assistant in it.
struct Returned {
    Document document;
    Arena arena;
    ir::Request request;

    Returned(const Dialect &client, const std::string &body) : document(body) {
        EXPECT_TRUE(client.parse_request(document.root(), arena, request)) << body;
    }
    std::string sent_to(const Dialect &dialect, bool takes_details) const {
        Target target;
        target.model = "t";
        target.traits.reasoning_details = takes_details;
        target.traits.thinking = true;
        Arena made;
        ByteBuffer out;
        json::Writer writer(out);
        Notes notes;
        EXPECT_TRUE(dialect.render_request(request, target, made, writer, notes));
        return std::string(out.view());
    }
};

std::string answer_for(const Dialect &client) {
    Document body(R"({"id":"a","model":"m","choices":[{"message":{"role":"assistant",)"
                  R"("content":"Hi","reasoning":"Hm \"x\" \u00e9So","reasoning_details":)" +
                  std::string(kGiven) + R"(},"finish_reason":"stop"}]})");
    Arena arena;
    ir::Response response;
    EXPECT_TRUE(kOpenAi.parse_response(body.root(), arena, response));
    Ids ids;
    ClientView view;
    view.ids = &ids;
    ByteBuffer out;
    json::Writer writer(out);
    client.render_response(response, view, arena, writer);
    return std::string(out.view());
}

// The client's next request, with the answer in it as it came.
std::string next_of(const Dialect &client, json::Value answer) {
    auto raw = [](json::Value value) { return std::string(value.raw().bytes); };
    if (client.id == DialectId::openai) {
        return R"({"model":"m","messages":[{"role":"user","content":"Q"},)" +
               raw((*answer["choices"].items().begin())["message"]) +
               R"(,{"role":"user","content":"R"}]})";
    }
    if (client.id == DialectId::anthropic) {
        return R"({"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Q"},)"
               R"({"role":"assistant","content":)" +
               raw(answer["content"]) + R"(},{"role":"user","content":"R"}]})";
    }
    if (client.id == DialectId::responses) {
        std::string output = raw(answer["output"]);
        return R"({"model":"m","input":[{"role":"user","content":"Q"},)" +
               output.substr(1, output.size() - 2) + R"(,{"role":"user","content":"R"}]})";
    }
    return R"({"contents":[{"role":"user","parts":[{"text":"Q"}]},)" +
           raw((*answer["candidates"].items().begin())["content"]) +
           R"(,{"role":"user","parts":[{"text":"R"}]}]})";
}

TEST(ReasoningDetails, Case38_ComeBackThroughClientsOfEveryDialectByteForByte) {
    for (const Dialect *client : {&kOpenAi, &kAnthropic, &kResponses, &kGemini}) {
        Document answer(answer_for(*client));
        Returned next(*client, next_of(*client, answer.root()));
        Document sent(next.sent_to(kOpenAi, true));
        json::Value turn;
        for (json::Value message : sent.root()["messages"].items()) {
            turn = message["role"].equals("assistant") ? message : turn;
        }
        std::string given(kGiven), back(turn["reasoning_details"].raw().bytes);
        Document one("{\"a\":" + given + "}"), other("{\"a\":" + back + "}");
        size_t i = 0;
        ASSERT_EQ(other.root()["a"].size(), 3u) << client->name << " " << back;
        std::vector<json::Value> expected;
        for (json::Value detail : one.root()["a"].items()) {
            expected.push_back(detail);
        }
        for (json::Value detail : other.root()["a"].items()) {
            ASSERT_EQ(detail.size(), expected[i].size()) << client->name << " " << back;
            for (auto [name, value] : expected[i].members()) {
                Arena arena;
                std::string_view member = json::unescape(name, arena);
                bool is_same = value.is_string() ? json::unescape(value.text(), arena) ==
                                                       json::unescape(detail[member].text(), arena)
                                                 : value.raw().bytes == detail[member].raw().bytes;
                EXPECT_TRUE(is_same) << client->name << " " << member << " " << back;
            }
            ++i;
        }
    }
}

TEST(ReasoningDetails, Case38_GoToNobodyElse) {
    for (const Dialect *client : {&kOpenAi, &kAnthropic, &kResponses, &kGemini}) {
        Document answer(answer_for(*client));
        Returned next(*client, next_of(*client, answer.root()));
        for (const Dialect *provider : dialects()) {
            if (!provider->is_provider()) {
                continue;
            }
            std::string body = next.sent_to(*provider, false);
            for (std::string_view secret : {"S+/=", "D==", "rs_1", "gw1", "Z3cx", "reasoning."}) {
                EXPECT_EQ(body.find(secret), std::string::npos)
                    << client->name << " to " << provider->name << ": " << body;
            }
        }
    }
}

TEST(ReasoningDetails, AChatHistoryOfAnotherMakerHasNone) {
    ModelTraits traits;
    traits.reasoning_details = true;
    std::string body = resent(
        R"({"role":"user","content":"Q"},{"role":"assistant","content":"A","thinking_blocks":[)"
        R"({"type":"thinking","thinking":"Hm","signature":"gw1.anthropic.S"},)"
        R"({"type":"thinking","thinking":"Hm","signature":"gw1.openai.no mark"}]},)"
        R"({"role":"user","content":"R"})",
        traits);
    EXPECT_EQ(body.find("reasoning"), std::string::npos) << body;
}

}  // namespace
}  // namespace llm::openai_testing
