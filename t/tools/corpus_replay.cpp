// Replays recordings of real traffic through the translators: corpus_replay FOLDER [FILTER]
//
// FOLDER holds corpus/<dialect>/<name>/{meta.json, request.json, response.*} and
// spec/tables/expected.json. All recordings of dialects that are registered (kFolders) and all
// error bodies (errors) are taken:
//   - as answers of a provider: decoded and compared with the table where it knows them, cut in
//     every way, given to clients of all dialects;
//   - as requests of a client: rendered for many targets and held to the rules of their APIs.
// Recordings that the table does not know must keep to the same properties. A list of all
// failures comes at the end; the exit code is 1 when there are any, 2 when there is no corpus.
#include <dirent.h>
#include <openssl/sha.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "t/check/pump.hpp"
#include "t/check/request_checks.hpp"
#include "t/check/stream_checks.hpp"
#include "translators/dialect/anthropic_invoke.hpp"

namespace llm::check {
namespace {

using json::Value;

bool read_file(const std::string &path, std::string &bytes) {
    FILE *file = fopen(path.c_str(), "rb");
    if (file == nullptr) {
        return false;
    }
    char block[65536];
    for (size_t n; (n = fread(block, 1, sizeof block, file)) > 0;) {
        bytes.append(block, n);
    }
    fclose(file);
    return true;
}

std::vector<std::string> entries(const std::string &path) {
    std::vector<std::string> names;
    if (DIR *directory = opendir(path.c_str())) {
        while (dirent *entry = readdir(directory)) {
            if (entry->d_name[0] != '.') {
                names.emplace_back(entry->d_name);
            }
        }
        closedir(directory);
    }
    std::sort(names.begin(), names.end());
    return names;
}

std::string sha256(std::string_view bytes) {
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256(reinterpret_cast<const unsigned char *>(bytes.data()), bytes.size(), digest);
    std::string hex;
    for (unsigned char byte : digest) {
        char two[3];
        snprintf(two, sizeof two, "%02x", byte);
        hex += two;
    }
    return hex;
}

// --- the table ------------------------------------------------------------------------------

void expect_bytes(const char *what, Value expected, const std::string &got, Problems &problems) {
    if (expected.is_unset() ? !got.empty()
                            : expected["bytes"].as_int().value_or(-1) != int64_t(got.size()) ||
                                  !expected["sha256"].equals(sha256(got))) {
        problems.push_back(std::string(what) + " is not what the table says: " + shown(got));
    }
}

// `expected`: the list, and what stands with the calls (Gemini signs them).
void expect_all(const char *what, const std::vector<Value> &expected,
                const std::vector<std::string> &got, Problems &problems) {
    if (expected.size() != got.size()) {
        problems.push_back(std::string(what) + ": " + std::to_string(got.size()) + " instead of " +
                           std::to_string(expected.size()));
        return;
    }
    for (Value value : expected) {
        bool is_found = std::any_of(got.begin(), got.end(), [&](const std::string &one) {
            Problems none;
            expect_bytes(what, value, one, none);
            return none.empty();
        });
        if (!is_found) {
            problems.push_back(std::string(what) + " lack what the table says");
        }
    }
}

void expect_word(const char *what, Value expected, const std::string &got, Problems &problems) {
    if (!expected.absent() && !expected.equals(got)) {
        problems.push_back(std::string(what) + ": " + shown(got) + " instead of " +
                           shown(expected.raw().bytes));
    }
}

void expect_calls(Value expected, const std::vector<Call> &got, Problems &problems) {
    if (expected.size() != got.size()) {
        problems.push_back(std::to_string(got.size()) + " calls instead of " +
                           std::to_string(expected.size()));
        return;
    }
    size_t i = 0;
    for (Value call : expected.items()) {
        const Call &made = got[i++];
        Document arguments(made.arguments, {.allow_lone_surrogates = true});
        bool is_same = call["arguments_text"].absent()
                           ? arguments && is_same_json(call["arguments"], arguments.root())
                           : call["arguments_text"].equals(made.arguments);
        // Where the provider gave no id, one was made.
        bool is_same_id = call["id"].is_unset() ? !made.id.empty() : call["id"].equals(made.id);
        if (!call["name"].equals(made.name) || !is_same_id || !is_same) {
            problems.push_back("call " + std::to_string(i) +
                               " is not what the table says: " + shown(made.name + made.arguments));
        }
    }
}

// OpenRouter's details keep their other members as well: the table tells of what is opaque in them.
void unmark(Message &message) {
    std::vector<std::string> marks;
    marks.swap(message.signatures);
    std::erase_if(message.redacted, [&](const std::string &hidden) {
        bool is_mark = hidden.starts_with("{");
        if (is_mark) {
            marks.push_back(hidden);
        }
        return is_mark;
    });
    for (const std::string &mark : marks) {
        Document detail(mark, {.allow_lone_surrogates = true});
        bool is_mark = mark.starts_with("{") && detail;
        Value value = is_mark ? detail.root()["signature"] : Value();
        value = is_mark && value.is_unset() ? detail.root()["data"] : value;
        if (!is_mark || value.is_string()) {
            message.signatures.push_back(is_mark ? plain(value.text()) : mark);
        }
    }
}

void compare_with_table(Value expected, const Answer &answer, Problems &problems) {
    Message message = answer.first();
    unmark(message);
    expect_bytes("text", expected["text"], message.text, problems);
    expect_bytes("reasoning", expected["reasoning"], message.reasoning, problems);
    expect_bytes("refusal", expected["refusal"], message.refusal, problems);
    expect_calls(expected["calls"], message.calls, problems);
    std::vector<Value> signatures, redacted;
    for (Value value : expected["signatures"].items()) {
        signatures.push_back(value);
    }
    for (Value call : expected["calls"].items()) {
        if (!call["signature"].is_unset()) {
            signatures.push_back(call["signature"]);
        }
    }
    for (Value value : expected["redacted"].items()) {
        redacted.push_back(value);
    }
    expect_all("signatures", signatures, message.signatures, problems);
    expect_all("redacted", redacted, message.redacted, problems);
    if (expected["server_blocks"].as_int().value_or(0) != int64_t(message.server_blocks)) {
        problems.push_back("blocks of the provider alone: " +
                           std::to_string(message.server_blocks));
    }
    if (int64_t(answer.choices.size()) < expected["choices"].as_int().value_or(0)) {
        problems.push_back("choices are missing");
    }
    expect_word("finish", expected["finish"], message.finish, problems);
    expect_word("native finish", expected["native"], message.native, problems);
    expect_word("stop sequence", expected["stop_sequence"], message.stop_sequence, problems);
    expect_word("error class", expected["error"], answer.error_class, problems);
    if (expected["error"].absent() && answer.has_error) {
        problems.push_back("an error: " + answer.error_class + " " + answer.error_message);
    }
    Value usage = expected["usage"];
    // What the beginning of a broken stream announces is not in the table.
    if (usage.is_null() && answer.usage.known && !answer.has_error) {
        problems.push_back("usage where the provider sent none");
    }
    const Usage &u = answer.usage;
    const std::pair<const char *, int64_t> counts[] = {
        {"input", u.input},   {"cache_read", u.cache_read}, {"cache_write", u.cache_write},
        {"output", u.output}, {"reasoning", u.reasoning},
    };
    for (auto [name, count] : counts) {
        if (usage.is_object() && usage[name].as_int().value_or(0) != count) {
            problems.push_back(std::string("usage ") + name + ": " + std::to_string(count) +
                               " instead of " + std::string(usage[name].raw().bytes));
        }
    }
}

// --- messages in an event stream ------------------------------------------------------------

constexpr std::string_view kInvoke = "bedrock-invoke";

std::string unwrapped(const std::string &stream) {
    std::string padded = stream + std::string(json::kPadding, ' ');
    anthropic::InvokeStream invoke;
    ByteBuffer out;
    invoke.feed(std::string_view(padded.data(), stream.size()), out);
    return std::string(out.view());
}

// --- one recording --------------------------------------------------------------------------

struct Tally {
    size_t recordings = 0, streams = 0, answers = 0, errors = 0, requests = 0, renderings = 0;
    size_t refused = 0, unlisted = 0;
    std::vector<std::string> failures;
};

class Recording {
  public:
    Recording(std::string folder, std::string name, DialectId dialect, bool is_errors,
              Value expected, Tally &tally)
        : folder_(std::move(folder)),
          name_(std::move(name)),
          dialect_(dialect),
          is_errors_(is_errors),
          expected_(expected),
          tally_(tally) {}

    void replay() {
        tally_.recordings++;
        tally_.unlisted += expected_.absent() ? 1 : 0;
        std::string bytes;
        if (!read_file(folder_ + "/meta.json", bytes)) {
            problems_.push_back("meta.json is missing");
        } else {
            Document meta(bytes);
            if (!meta) {
                problems_.push_back("meta.json is no JSON");
            } else {
                response(meta.root()["response"]);
                request(meta.root());
            }
        }
        for (const std::string &problem : problems_) {
            tally_.failures.push_back(name_ + ": " + problem);
        }
        printf("%s %s\n", problems_.empty() ? "ok" : "not ok", name_.c_str());
        fflush(stdout);
    }

  private:
    void response(Value head) {
        std::string file = plain(head["file"].text());
        std::string bytes;
        if (file.empty() || !read_file(folder_ + "/" + file, bytes)) {
            problems_.push_back("the response is missing: " + file);
            return;
        }
        status_ = uint16_t(head["status"].as_int().value_or(200));
        bool is_stream = file.ends_with(".sse") || file.ends_with(".ndjson") ||
                         file.ends_with(".eventstream.b64");
        bytes = stream_bytes(file, bytes);
        if (name_.starts_with(kInvoke) && is_stream) {
            bytes = unwrapped(bytes);
        }
        Answer answer;
        if (status_ >= 400) {
            tally_.errors++;
            answer.has_error = true;
            answer.error_class = check_error_body(status_, bytes, problems_);
            expect_word("error class", expected_["error"], answer.error_class, problems_);
            return;
        }
        if (!dialect(dialect_).is_provider()) {
            return;
        }
        if (is_stream) {
            tally_.streams++;
            answer = check_stream(dialect_, bytes, {}, problems_);
        } else {
            tally_.answers++;
            if (!check_whole(dialect_, bytes, answer, problems_)) {
                problems_.push_back("the answer is not understood");
            }
        }
        if (!expected_.absent() && !is_table_wrong()) {
            compare_with_table(expected_, answer, problems_);
        }
    }

    void request(Value meta) {
        std::string bytes;
        if (is_errors_ || !dialect(dialect_).is_client() ||
            !read_file(folder_ + "/request.json", bytes)) {
            return;
        }
        RequestReport report;
        std::string why;
        // Some services (Azure, Vertex AI) have the model in the path.
        bool has_model = dialect(dialect_).chat_path.find("{model}") == std::string_view::npos;
        if (Document body(bytes);
            has_model && body && body.root().is_object() && body.root()["model"].absent()) {
            bytes.insert(bytes.find('{') + 1,
                         body.root().size() > 0 ? "\"model\":\"m\"," : "\"model\":\"m\"");
        }
        if (!check_request(dialect_, bytes, report, why, problems_)) {
            // What the provider itself refused may be refused here as well.
            if (meta["response"]["status"].as_int().value_or(200) < 400) {
                problems_.push_back("request: " + why);
            }
            return;
        }
        tally_.requests++;
        tally_.renderings += report.rendered;
        tally_.refused += report.refused.size();
        for (const std::string &refused : report.refused) {
            printf("# %s: request refused %s\n", name_.c_str(), refused.c_str());
        }
    }

    // The table takes every toolUse with a `type` for one of the server's; this one is of the type
    // tool_use, and the client declared the tool.
    bool is_table_wrong() const {
        return name_ == "bedrock-converse/pai-bedrock-model-code-execution-tool-stream";
    }

    std::string folder_, name_;
    DialectId dialect_;
    bool is_errors_;
    Value expected_;
    Tally &tally_;
    Problems problems_;
    uint16_t status_ = 200;
};

// What the directories of the corpus hold; those of endpoints that are no dialect are left alone.
struct Folder {
    std::string_view prefix;
    std::string_view dialect;
};

constexpr Folder kFolders[] = {
    {"openai-chat", "openai"},
    {"openai-responses", "responses"},
    {"anthropic-messages", "anthropic"},
    {"gemini", "gemini"},
    {"bedrock-converse", "bedrock"},
    {kInvoke, "anthropic"},
    {"cohere", "cohere"},
    {"ollama", "ollama"},
    {"completions", "completions"},
    {"errors", "openai"},
};

bool find_dialect_of(const std::string &directory, DialectId &id) {
    for (const Folder &folder : kFolders) {
        if (directory.starts_with(folder.prefix)) {
            const Dialect *known = find_dialect(folder.dialect);
            id = known != nullptr ? known->id : DialectId::openai;
            return known != nullptr;
        }
    }
    return false;
}

int run(const std::string &shared, const std::string &filter) {
    std::string corpus = shared + "/corpus";
    std::string table;
    if (!read_file(shared + "/spec/tables/expected.json", table)) {
        fprintf(stderr, "no table of expectations: %s/spec/tables/expected.json\n", shared.c_str());
        return 2;
    }
    Document expected(table);
    if (!expected) {
        fprintf(stderr, "expected.json is no JSON\n");
        return 2;
    }
    Tally tally;
    for (const std::string &directory : entries(corpus)) {
        DialectId id;
        if (!find_dialect_of(directory, id)) {
            continue;
        }
        for (const std::string &name : entries(corpus + "/" + directory)) {
            std::string full = directory + "/" + name;
            // InvokeModel takes any model's own form: the table knows those of messages.
            bool is_other = directory == kInvoke && expected.root()["cases"][full].absent();
            if (!is_other && full.find(filter) != std::string::npos) {
                Recording(corpus + "/" + full, full, id, directory == "errors",
                          expected.root()["cases"][full], tally)
                    .replay();
            }
        }
    }
    if (tally.recordings == 0) {
        fprintf(stderr, "no recordings in %s\n", corpus.c_str());
        return 2;
    }
    printf(
        "%zu recordings: %zu streams, %zu whole answers, %zu errors, %zu requests rendered "
        "%zu times (%zu refused by name); %zu not in the table\n",
        tally.recordings, tally.streams, tally.answers, tally.errors, tally.requests,
        tally.renderings, tally.refused, tally.unlisted);
    for (const std::string &failure : tally.failures) {
        printf("FAILED %s\n", failure.c_str());
    }
    printf("%zu failures\n", tally.failures.size());
    return tally.failures.empty() ? 0 : 1;
}

}  // namespace
}  // namespace llm::check

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: %s FOLDER [FILTER]\n", argv[0]);
        return 2;
    }
    return llm::check::run(argv[1], argc > 2 ? argv[2] : "");
}
