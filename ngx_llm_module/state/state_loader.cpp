// How the state is read at start (entry: load_state).
#include <sys/stat.h>

#include <algorithm>

#include "ngx_llm_module/state/metrics.hpp"
#include "ngx_llm_module/state/state_file.hpp"
#include "ngx_llm_module/state/state_lines.hpp"
#include "translators/json/reader.hpp"

namespace llm {
namespace {

class Loader {
  public:
    Loader(const Config &config, ngx_log_t *log) : config_(config), log_(log) {}

    bool load_snapshot();
    bool load_journal();
    bool load_section(const StateSection &section);
    size_t records() const { return records_; }

  private:
    bool complain(const std::string &path, const char *what, int error = 0) const {
        ngx_log_error(NGX_LOG_EMERG, log_, error,
                      "llm: the state in \"%s\" %s; it is left as it is", path.c_str(), what);
        return false;
    }
    // What no crash leaves behind, and no first start finds.
    bool refuse(const std::string &path, const char *what) const {
        bool is_section = path != config_.state_path && path != journal_of(config_);
        std::string remedy = is_section ? "remove it to count anew"
                                        : "remove both \"" + config_.state_path + "\" and \"" +
                                              journal_of(config_) + "\" to begin anew";
        ngx_log_error(NGX_LOG_EMERG, log_, 0,
                      "llm: the state in \"%s\" %s; it is left as it is: restore it, or %s",
                      path.c_str(), what, remedy.c_str());
        return false;
    }
    bool read(const std::string &path, std::string &text) const {
        return read_file(path, text) || complain(path, "cannot be read", errno);
    }
    const char *take_line(std::string_view json);
    bool has_its_snapshot(std::string_view journal) const;

    const Config &config_;
    ngx_log_t *log_;
    json::Reader reader_;
    size_t records_ = 0;
};

// Nothing, or what is wrong.
const char *Loader::take_line(std::string_view text) {
    Result<json::Value> root = reader_.parse_unpadded(text);
    if (!root || !root->is_array()) {
        return "has a line that cannot be understood";
    }
    Arena arena;
    for (json::Value item : root->items()) {
        std::string_view name = json::unescape(item["kind"].text(), arena);
        const auto *kind = std::find(std::begin(kRecordKinds), std::end(kRecordKinds), name);
        std::optional<int64_t> version = item["version"].as_int();
        json::Value record = item["record"];
        if (kind == std::end(kRecordKinds) || !version || !item["id"].is_string() ||
            !(record.is_null() || record.is_object())) {
            return "has a record that cannot be understood";
        }
        auto merge = [&, id = json::unescape(item["id"].text(), arena)] {
            return merge_record(config_, RecordKind(kind - std::begin(kRecordKinds)), id,
                                record.is_null() ? std::string_view() : record.raw().bytes,
                                uint64_t(*version), kUnknownBase) == Merged::done;
        };
        if (!merge() && !(release_metrics(config_) && merge())) {
            return "is larger than the zone: llm_zone needs a larger size";
        }
        records_++;
    }
    return nullptr;
}

bool Loader::load_snapshot() {
    const std::string &path = config_.state_path;
    std::string text;
    if (!read(path, text)) {
        return false;
    }
    if (text.empty()) {
        return true;
    }
    // The first line says what this is, the last one that nothing is missing.
    std::string_view rest = text;
    bool has_header = false;
    bool has_end = false;
    while (!rest.empty()) {
        size_t end = rest.find('\n');
        std::string_view json = check_line(rest.substr(0, end));
        if (json.empty() || end == std::string_view::npos || has_end) {
            return refuse(path, "is damaged");
        }
        rest.remove_prefix(end + 1);
        if (!has_header) {
            has_header = json == kStateHeader;
            if (!has_header) {
                return complain(path, "is not from this version of the module");
            }
        } else if (json == kNoRecords) {
            has_end = true;
        } else if (const char *wrong = take_line(json)) {
            return complain(path, wrong);
        }
    }
    return has_end || refuse(path, "is damaged: its end is missing");
}

bool Loader::load_journal() {
    std::string path = journal_of(config_);
    std::string text;
    if (!read(path, text)) {
        return false;
    }
    if (!has_its_snapshot(text)) {
        return false;
    }
    for (size_t begin = 0; begin < text.size();) {
        size_t end = text.find('\n', begin);
        std::string_view json;
        if (end != std::string::npos) {
            json = check_line(std::string_view(text).substr(begin, end - begin));
        }
        if (json.empty()) {
            bool is_last = end == std::string::npos || end + 1 == text.size();
            if (!is_last || !is_torn(text, begin)) {
                return refuse(path, "is damaged");
            }
            ngx_log_error(NGX_LOG_WARN, log_, 0,
                          "llm: the last line of \"%s\" was cut off by a crash before anybody was "
                          "told of it: dropped",
                          path.c_str());
            return true;
        }
        if (const char *wrong = take_line(json)) {
            return complain(path, wrong);
        }
        begin = end + 1;
    }
    return true;
}

// A snapshot is there as a whole before the journal begins anew, so it is never empty. The other
// way round all is there, or nobody knows: an old copy may be all that was saved.
bool Loader::has_its_snapshot(std::string_view journal) const {
    const std::string &path = config_.state_path;
    struct stat snapshot;
    bool is_there = stat(path.c_str(), &snapshot) == 0;
    if (is_there && snapshot.st_size == 0 && !journal.empty()) {
        return refuse(path, "is empty");
    }
    if (!is_there && has_note(journal)) {
        return refuse(path, "is missing, its journal goes on from it");
    }
    struct stat itself;
    std::string beside = journal_of(config_);
    if (is_there && snapshot.st_size > 0 && stat(beside.c_str(), &itself) != 0) {
        ngx_log_error(NGX_LOG_WARN, log_, 0,
                      "llm: \"%s\" is missing: what came after \"%s\" was written is not there",
                      beside.c_str(), path.c_str());
    }
    return true;
}

bool Loader::load_section(const StateSection &section) {
    std::string path = section_of(config_, section);
    std::string text;
    if (!read(path, text)) {
        return false;
    }
    struct stat file;
    if (text.empty()) {
        return stat(path.c_str(), &file) != 0 || refuse(path, "is empty");
    }
    size_t end = text.find('\n');
    std::string_view rest = end == std::string::npos ? "" : std::string_view(text).substr(end + 1);
    if (!text.starts_with(Head(rest.size(), crc_of(rest)).view())) {
        return refuse(path, "is damaged");
    }
    return section.load(config_, rest) || complain(path, "cannot be understood");
}

}  // namespace

bool load_state(const Config &config, ngx_log_t *log) {
    Loader loader(config, log);
    if (!loader.load_snapshot() || !loader.load_journal()) {
        return false;
    }
    for (const StateSection &section : state_sections) {
        if (!loader.load_section(section)) {
            return false;
        }
    }
    ngx_log_error(NGX_LOG_NOTICE, log, 0, "llm: read %uz records from \"%s\"", loader.records(),
                  config.state_path.c_str());
    return true;
}

}  // namespace llm
