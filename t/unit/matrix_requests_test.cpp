// Requests of every client dialect for every provider dialect: what is rendered obeys the rules of
// the target's API, says what the client said, and is a fixed point of its own dialect;
// pass-through changes nothing but the model and stream_options.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "t/check/pump.hpp"
#include "t/check/request_checks.hpp"
#include "t/check/scenario.hpp"

namespace llm::check {
namespace {

namespace fs = std::filesystem;

std::string report(const Problems &problems) {
    std::string all;
    for (const std::string &problem : problems) {
        all += problem + "\n";
    }
    return all;
}

// A conversation as clients hold it, with calls that are answered, or not, or twice.
class Conversation {
  public:
    Conversation(DialectId dialect, uint64_t seed)
        : is_messages_(dialect == DialectId::anthropic), chance_(seed), writer_(out_) {}

    std::string write() {
        writer_.object().key("model").plain("asked-for");
        if (is_messages_ || chance_.one_in(2)) {
            writer_.key("max_tokens").number(int64_t(1 + chance_.below(9000)));
        }
        options();
        writer_.key("messages").array();
        system(true);
        size_t turns = 1 + chance_.below(7);
        for (size_t i = 0; i < turns; i++) {
            user();
            if (chance_.one_in(6)) {
                user();
            }
            if (i + 1 < turns) {
                assistant();
            }
            if (chance_.one_in(6)) {
                system(false);
            }
        }
        writer_.end().end();
        return std::string(out_.view());
    }

  private:
    std::string words() { return "w" + random_text(chance_, chance_.below(6)); }

    void options() {
        if (chance_.one_in(2)) {
            writer_.key("stream").boolean(true);
        }
        if (chance_.one_in(3)) {
            writer_.key("temperature").raw({"0.70"});
        }
        if (is_messages_ && chance_.one_in(2)) {
            writer_.key("system").plain(words());
        }
        if (chance_.one_in(4)) {
            is_messages_ ? writer_.key("thinking")
                               .object()
                               .key("type")
                               .plain("enabled")
                               .key("budget_tokens")
                               .number(1024)
                               .end()
                         : writer_.key("reasoning_effort").plain("medium");
        }
        if (chance_.one_in(5)) {
            writer_.key("x_vendor").object().key("a").raw({"1.50"}).end();
        }
        writer_.key("tools").array();
        for (std::string_view name : {"look", "files.read"}) {
            bool is_odd = name != "look";
            if (is_messages_ && is_odd) {
                continue;
            }
            writer_.object();
            if (!is_messages_) {
                writer_.key("type").plain("function").key("function").object();
            }
            writer_.key("name").plain(name);
            writer_.key(is_messages_ ? "input_schema" : "parameters").object();
            writer_.key("type").plain("object").key("properties").object().end().end();
            is_messages_ ? writer_.end() : writer_.end().end();
        }
        writer_.end();
    }

    void system(bool is_first) {
        if (chance_.one_in(is_messages_ && is_first ? 1000 : 2)) {
            writer_.object().key("role").plain("system").key("content").plain(words()).end();
        }
    }

    void content(const std::string &text) {
        writer_.key("content");
        if (chance_.one_in(2)) {
            writer_.plain(text);
            return;
        }
        writer_.array().object().key("type").plain("text").key("text").plain(text).end();
        if (chance_.one_in(3)) {
            writer_.object().key("type").plain(is_messages_ ? "image" : "image_url");
            writer_.key(is_messages_ ? "source" : "image_url").object();
            if (is_messages_) {
                writer_.key("type").plain("url");
            }
            writer_.key("url").plain("https://pictures.example/" + std::to_string(number_++));
            writer_.end().end();
        }
        writer_.end();
    }

    void user() {
        bool has_results = !calls_.empty();
        if (has_results && !is_messages_) {
            for (const std::string &id : calls_) {
                writer_.object().key("role").plain("tool").key("tool_call_id").plain(id);
                writer_.key("content").plain("r" + words()).end();
            }
            calls_.clear();
            has_results = false;
        }
        writer_.object().key("role").plain("user");
        if (!has_results) {
            content(words());
            writer_.end();
            return;
        }
        writer_.key("content").array();
        for (const std::string &id : calls_) {
            writer_.object().key("type").plain("tool_result").key("tool_use_id").plain(id);
            writer_.key("content").plain("r" + words()).end();
        }
        writer_.object().key("type").plain("text").key("text").plain(words()).end();
        writer_.end().end();
        calls_.clear();
    }

    void assistant() {
        size_t calls = chance_.one_in(2) ? chance_.below(4) : 0;
        writer_.object().key("role").plain("assistant");
        if (calls == 0) {
            writer_.key("content").plain(words()).end();
            return;
        }
        writer_.key(is_messages_ ? "content" : "tool_calls").array();
        for (size_t i = 0; i < calls; i++) {
            std::string id = (chance_.one_in(4) && !is_messages_ ? "functions.look:" : "call_") +
                             std::to_string(number_++) +
                             (chance_.one_in(5) ? std::string(50, 'x') : "");
            std::string arguments = random_arguments(chance_);
            if (is_messages_) {
                writer_.object().key("type").plain("tool_use").key("id").plain(id);
                writer_.key("name").plain("look").key("input").raw({arguments}).end();
            } else {
                writer_.object().key("id").plain(id).key("type").plain("function");
                writer_.key("function").object();
                writer_.key("name").plain(chance_.one_in(2) ? "look" : "files.read");
                writer_.key("arguments").plain(chance_.one_in(8) ? "{\"cut" : arguments);
                writer_.end().end();
            }
            // The user may have left before the tool answered.
            if (!chance_.one_in(8)) {
                calls_.push_back(id);
            }
        }
        writer_.end().end();
    }

    bool is_messages_;
    Chance chance_;
    ByteBuffer out_;
    json::Writer writer_;
    std::vector<std::string> calls_;  // to be answered
    size_t number_ = 0;
};

class MatrixRequests : public testing::TestWithParam<DialectId> {};

INSTANTIATE_TEST_SUITE_P(Clients, MatrixRequests,
                         testing::Values(DialectId::openai, DialectId::anthropic),
                         [](const auto &at) { return std::string(dialect(at.param).name); });

TEST_P(MatrixRequests, ConversationsKeepToTheRulesOfEveryTarget) {
    for (uint64_t seed = 1; seed <= 400; seed++) {
        std::string body = Conversation(GetParam(), seed).write();
        Problems problems;
        RequestReport told;
        std::string why;
        ASSERT_TRUE(check_request(GetParam(), body, told, why, problems)) << why << "\n" << body;
        EXPECT_GE(told.rendered, aims().size()) << body;
        ASSERT_TRUE(problems.empty()) << "seed " << seed << "\n" << report(problems) << body;
    }
}

TEST_P(MatrixRequests, SpliceChangesOnlyWhatItMust) {
    for (uint64_t seed = 1; seed <= 400; seed++) {
        std::string body = Conversation(GetParam(), seed).write();
        Problems problems;
        check_splice(GetParam(), body, problems);
        ASSERT_TRUE(problems.empty()) << "seed " << seed << "\n" << report(problems) << body;
    }
}

TEST(MatrixSplice, OddBodies) {
    const std::string hi = R"("messages":[{"role":"user","content":"hi"}],"max_tokens":9)";
    const std::string bodies[] = {
        R"({"model":"m",)" + hi + R"(,"stream":true})",
        " {" + hi + ",\n \"model\"\t:\r\n \"\\u006d\\\"\" , \"stream\" : true } ",
        R"({"stream":true,"stream_options":null,"model":"m",)" + hi + "}",
        R"({"stream":true,"stream_options":{},"model":"m",)" + hi + "}",
        R"({"stream":true,"stream_options":{"include_usage":false,"x":1},"model":"m",)" + hi + "}",
        R"({"stream":true,"stream_options":{"include_usage":true},"model":"m",)" + hi + "}",
        R"({"stream":false,"model":"m","x":{"model":"inner","stream":true},)" + hi + "}",
        R"({"messages":[{"role":"user","content":"\"model\":\"no\""}],"model":"m"})",
    };
    for (DialectId id : {DialectId::openai, DialectId::anthropic}) {
        for (const std::string &body : bodies) {
            Problems problems;
            check_splice(id, body, problems);
            EXPECT_TRUE(problems.empty()) << report(problems) << body;
        }
    }
}

TEST(MatrixGoldenRequests, EveryGoldenRequestKeepsToTheRules) {
    const char *given = getenv("GOLDEN_DIR");
    size_t found = 0;
    std::error_code failed;
    for (const auto &entry : fs::recursive_directory_iterator(
             fs::path(given != nullptr ? given : "t/golden") / "request", failed)) {
        std::string name = entry.path().filename().string();
        if (!name.starts_with("input.")) {
            continue;
        }
        std::ifstream file(entry.path(), std::ios::binary);
        std::stringstream text;
        text << file.rdbuf();
        Problems problems;
        RequestReport told;
        std::string why;
        bool is_request = check_request(find_dialect(name.substr(6, name.rfind('.') - 6))->id,
                                        text.str(), told, why, problems);
        found += is_request ? 1 : 0;
        EXPECT_EQ(is_request, !fs::exists(entry.path().parent_path() / "to.nobody.json")) << name;
        EXPECT_TRUE(problems.empty()) << entry.path() << "\n" << report(problems);
    }
    EXPECT_GT(found, 50u);
}

}  // namespace
}  // namespace llm::check
